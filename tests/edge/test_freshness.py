"""Requests that are too old: which ones, what becomes of them, and what the log says."""

import logging

import pytest
from click.testing import CliRunner

from edge.classifier import main
from edge.codec import decode_prediction
from edge.errors import BadRequestError, ExpiredError
from edge.freshness import Freshness
from edge.hooks import Hooks, Served, plugged
from edge.images import Images
from edge.letter import DeadLetter
from edge.memory_client import MemoryClient
from edge.model import load_model
from edge.records import Partition, Record
from tests.edge.loop import answer
from tests.paths import LENET

NOW_S = 1_764_000_000.0
FRESH, STALE = int(NOW_S * 1000) - 5000, int(NOW_S * 1000) - 5001


def freshness() -> Freshness:
    return Freshness(5.0, lambda: NOW_S)


def record(timestamp_ms: int, flaw: str | None = None) -> Record:
    return Record(Partition("in", 0), 7, timestamp_ms, None, b"", (), flaw)


@pytest.mark.parametrize("timestamp_ms", [FRESH, int(NOW_S * 1000), int(NOW_S * 1000) + 10**9, 2**62, -1])
def test_what_is_young_enough_or_of_no_known_age_is_let_in(timestamp_ms: int) -> None:
    fresh = freshness()
    fresh.admit(record(timestamp_ms))
    assert fresh.expired == 0


@pytest.mark.parametrize(
    ("timestamp_ms", "age", "written"),
    [(STALE, "5.0", "2025-11-24T15:59:54.999+00:00"), (0, "1764000000.0", "1970-01-01T00:00:00.000+00:00")],
)
def test_what_is_too_old_says_its_age_and_when_it_was_written(timestamp_ms: int, age: str, written: str) -> None:
    fresh = freshness()
    with pytest.raises(ExpiredError) as raised:
        fresh.admit(record(timestamp_ms))
    assert raised.value.message == f"expired: the request is {age} s old (of {written}), --max-age is 5 s"
    assert isinstance(raised.value, BadRequestError)
    assert fresh.summary == "1 of them expired"


def test_a_flaw_is_a_better_reason_than_age() -> None:
    fresh = freshness()
    fresh.admit(record(0, "the record batch does not match its CRC"))
    assert fresh.expired == 0


@pytest.mark.parametrize("is_exactly_once", [False, True])
def test_stale_requests_are_dead_letters_their_neighbours_are_answered_and_all_are_committed(
    samples: Images, is_exactly_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = MemoryClient()
    for number in range(100):
        at_ms = -1 if number % 4 == 0 else 86_400_000
        client.topics["in"].append(
            client.append("made", samples.image[number].tobytes(), b"key", [("traceparent", b"00-1")])._replace(
                partition=Partition("in", 0), timestamp_ms=at_ms
            )
        )
    served = Served(load_model(LENET))
    hooks, (counted,) = plugged(Hooks(lambda: served), 60.0, None, "", 900_000)
    service = answer(client, hooks, is_exactly_once)
    answered = [decode_prediction(one).id for one in client.topics["out"]]
    assert answered == [f"in-0-{number}" for number in range(0, 100, 4)]
    letters = [DeadLetter(one) for one in client.topics["dead"]]
    assert [letter.said("offset") for letter in letters] == [str(n) for n in range(100) if n % 4]
    assert {letter.said("exception.class.name") for letter in letters} == {"ExpiredError"}
    assert all(letter.reason.startswith("expired: the request is ") for letter in letters)
    assert letters[0].record.value == samples.image[1].tobytes()
    assert (letters[0].record.key, list(letters[0].headers)) == (b"key", [("traceparent", b"00-1")])
    assert list(client.committed.values()) == [100]
    assert (service.counts.predictions, service.counts.dead_letters, counted.summary) == (25, 75, "75 of them expired")
    said = [line for line in caplog.messages if "dead letters" in line]
    assert len(said) == 4
    assert said[0].startswith("in-0 offset 1 goes to dead letters: expired: the request is ")
    assert said[3].startswith("72 more records went to dead letters")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_what_is_no_age_is_a_usage_error(value: str) -> None:
    assert CliRunner().invoke(main, ["--model", str(LENET), "--max-age", value]).exit_code == 2
