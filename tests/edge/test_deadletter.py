"""Dead letters read back: what they say, and which can be sent once more; over a real Kafka in tests/system."""

from datetime import UTC, datetime, timedelta

import pytest
from click import Context
from click.testing import CliRunner

from edge.codec import encode_dead_letter
from edge.deadletter import main, read_moment
from edge.errors import BadRequestError
from edge.letter import DeadLetter, selected
from edge.records import Headers, Partition, Record
from edge.rejections import kind_of


def dead_letter(
    value: bytes | None, key: bytes | None = b"device", headers: Headers = (), reason: str = "no", time_ms: int = 0
) -> DeadLetter:
    rejected = Record(Partition("in", 3), 17, 0, key, value, headers)
    encoded = encode_dead_letter(rejected, BadRequestError(reason), 10_000)
    return DeadLetter(Record(Partition("dead", 0), 5, time_ms, encoded.key, encoded.value, encoded.headers))


def test_a_dead_letter_tells_where_its_record_was_and_what_it_was() -> None:
    letter = dead_letter(
        b"value", headers=[("a", b"b"), ("dead-letter-replayed-from", b"dead-0-1")], reason="too small"
    )
    assert (letter.id, letter.origin, letter.reason, letter.value_bytes) == ("0-5", "in-3-17", "too small", 5)
    assert letter.headers == [("a", b"b")]
    assert letter.obstacle is None


@pytest.mark.parametrize(
    ("letter", "obstacle"),
    [
        (dead_letter(bytes(20_000)), "were left out"),
        (dead_letter(b"", headers=[("a", bytes(20_000))]), "were left out"),
        (dead_letter(b"", key=bytes(20_000)), "were left out"),
        (dead_letter(None, key=None), "it had neither key nor value"),
        (dead_letter(b"", headers=[("dead-letter-raw", b"batch")]), "raw bytes of Kafka's format"),
        (DeadLetter(dead_letter(b"").record._replace(flaw="the record is broken")), "it is broken itself"),
    ],
)
def test_what_is_not_whole_cannot_be_replayed(letter: DeadLetter, obstacle: str) -> None:
    assert obstacle in (letter.obstacle or "")


def test_a_value_that_was_left_out_is_told_with_its_size() -> None:
    assert dead_letter(bytes(20_000)).value_bytes == 20_000
    assert dead_letter(b"12", headers=[("dead-letter-value-bytes", b"9" * 5000)]).value_bytes == 2


def test_a_record_of_somebody_else_in_the_topic_has_no_reason() -> None:
    record = Record(Partition("dead", 0), 5, -1, None, None, [])
    assert DeadLetter(record._replace(flaw="the record is broken")).reason == "the record is broken"
    letter = DeadLetter(record)
    assert (letter.origin, letter.reason, letter.value_bytes) == ("?-?-?", "no reason given", 0)
    assert letter.time == datetime(1970, 1, 1, tzinfo=UTC)


def test_selection_by_reason_and_time() -> None:
    letters = [dead_letter(b"", reason=reason, time_ms=n * 1000) for n, reason in enumerate(["Abc", "xyz", "aBd"])]
    records = [letter.record for letter in letters]
    assert [found.reason for found in selected(records, "AB", None)] == ["Abc", "aBd"]
    assert [found.reason for found in selected(records, None, datetime.fromtimestamp(1, UTC))] == ["xyz", "aBd"]


def test_reasons_of_a_kind_differ_in_what_a_sender_wrote() -> None:
    assert kind_of("the value has 1,783 bytes") == kind_of("the value has 2 bytes")
    assert kind_of("the content-type 'a' is unknown") == kind_of("the content-type 'b' is unknown")
    assert kind_of("the key is odd") != kind_of("the value is odd")


def test_a_moment_is_a_time_or_an_age() -> None:
    assert moment("2026-11-24T13:00+01:00") == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert moment("2026-11-24") == datetime(2026, 11, 24).astimezone()
    assert abs(moment("90m") - (datetime.now(UTC) - timedelta(minutes=90))) < timedelta(seconds=10)


def moment(text: str) -> datetime:
    found = read_moment(Context(main), main.commands["list"].params[0], text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "--since", "yesterday"], "neither a time"),
        (["list", "--summary", "--json"], "exclude each other"),
        (["show", "17"], "not PARTITION-OFFSET"),
        (["replay", "0-1", "0:x"], "not PARTITION-OFFSET"),
        (["replay", "0-1", "--reason", "x"], "but not both"),
        (["replay", "--to", "a b"], "is no name of a topic"),
        (["replay", "--to", "prediction_dead_letter"], "the topic of the dead letters itself"),
    ],
)
def test_misuse_is_a_usage_error(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, words in result.output) == (2, True), result.output
