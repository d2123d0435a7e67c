"""What librdkafka cannot read, numbers oddly or stops at comes out as kafka-python's tolerant reader has it."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from edge import confluent_reader
from edge.confluent_client import ConfluentClient
from edge.records import Partition, Record
from localkafka import LocalKafka
from tests.system.processes import wait_until
from tests.system.raw import GZIP, batch, compress, field, fields, produce, record, varint

pytestmark = pytest.mark.kafka

NOT_UTF8 = field(fields(1, b"bad", [(b"\xff\xfe", b"x"), (b"a", b"b")]))
NOT_UTF8_AND_MORE = field(fields(1, b"bad", [(b"a", b"b"), (b"\xff\xfe", b"x")]))


def good(delta: int) -> bytes:
    return record(delta, b"good", [("a", b"b")])


CASES = {
    "a header's name": [batch([good(0), NOT_UTF8, good(2)]), batch([good(0), NOT_UTF8_AND_MORE, good(2)], GZIP)],
    "an offset too far": [batch([good(0), record(900, b"far"), good(2)]), batch([good(0)])],
    "an offset too far at the end": [batch([good(0), record(900, b"far")]), batch([good(0)]), batch([good(0)])],
    "an offset that was there": [batch([good(0), record(-1, b"back"), good(2)]), batch([good(0)])],
    "a record without an end": [batch([good(0), varint(3) + fields(1, b"cut"), good(2)], GZIP), batch([good(0)])],
}


@pytest.fixture(scope="module")
def client(kafka: LocalKafka) -> ConfluentClient:
    return ConfluentClient(kafka.bootstrap_servers)


@pytest.fixture
def topic(client: ConfluentClient) -> str:
    """One whose batches the broker keeps as they are."""
    name = f"poison-{uuid.uuid4().hex[:8]}"
    client.create_topic(name, 1, {"compression.type": "producer"})
    return name


def read(client: ConfluentClient, topic: str, last: int) -> list[Record]:
    """All records up to this offset, as a member of a group reads them."""
    source = client.open_source(topic, topic, lambda _: {})
    records: list[Record] = []

    def has_all() -> bool:
        records.extend(source.read(100, 0.1))
        return bool(records) and records[-1].offset >= last

    wait_until(has_all, f"offset {last}")
    source.close()
    return records


def tolerantly(client: ConfluentClient, topic: str) -> list[Record]:
    return list(client.scan(topic))


def same(records: Sequence[Record]) -> list[Record]:
    return [found._replace(headers=list(found.headers)) for found in records]


@pytest.mark.parametrize("name", CASES)
def test_all_records_come_out_in_order_each_once_and_flawed_ones_with_their_flaw(
    kafka: LocalKafka, client: ConfluentClient, topic: str, name: str
) -> None:
    produce(kafka.bootstrap_servers, topic, *CASES[name])
    expected = tolerantly(client, topic)
    assert any(found.flaw for found in expected)
    assert same(read(client, topic, expected[-1].offset)) == same(expected)


def test_a_batch_that_rots_on_the_brokers_disk_comes_out_whole(
    kafka: LocalKafka, client: ConfluentClient, topic: str
) -> None:
    produce(kafka.bootstrap_servers, topic, batch([good(0)]), batch([record(0, b"rot")]), batch([good(0)]))
    log = Path(kafka.directory / "data" / f"{topic}-0" / "00000000000000000000.log")
    log.write_bytes(log.read_bytes().replace(b"rot", b"ROT"))
    found = read(client, topic, 2)
    assert [(each.offset, each.flaw) for each in found] == [
        (0, None),
        (1, "the record batch does not match its CRC"),
        (2, None),
    ]


def test_codecs_that_the_other_reader_does_not_unpack_are_read_behind_poison_too(
    kafka: LocalKafka, client: ConfluentClient, topic: str
) -> None:
    produce(kafka.bootstrap_servers, topic, batch([good(0), NOT_UTF8]))
    for codec in ("lz4", "zstd", "snappy", "gzip"):
        compress(kafka.bootstrap_servers, topic, codec, [(codec.encode(), [])] * 2)
    found = read(client, topic, 9)
    assert [each.offset for each in found] == list(range(10))
    assert [each.flaw is None for each in found] == [True, False, *[True] * 8]
    assert [each.value for each in found[2:]] == [b"lz4"] * 2 + [b"zstd"] * 2 + [b"snappy"] * 2 + [b"gzip"] * 2


def test_the_gaps_that_transactions_leave_are_looked_into_a_few_times_only(
    client: ConfluentClient, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[object] = []
    scan = client.scan

    def counted(topic: str, starts: Mapping[Partition, int]) -> Iterator[Record]:
        scans.append(starts)
        return scan(topic, starts)

    monkeypatch.setattr(client, "scan", counted)
    monkeypatch.setattr(confluent_reader, "DETOUR_RECORDS", 0)
    sink = client.open_transactional_sink(topic)
    for number in range(10):
        settled: list[Exception | None] = []
        sink.begin()
        sink.write(topic, str(number).encode(), None, [], settled.append)
        sink.commit({}, None, settled.append)
        wait_until(lambda: len(settled) == 2, "the commit")  # noqa: B023 it is over by then
        assert settled == [None, None]
    sink.close(1.0)
    found = read(client, topic, 18)
    assert [each.value for each in found] == [str(number).encode() for number in range(10)]
    assert len(scans) <= 3


def test_a_partition_number_beyond_the_first_is_read_the_same_way(kafka: LocalKafka, client: ConfluentClient) -> None:
    topic = f"poison-{uuid.uuid4().hex[:8]}"
    client.create_topic(topic, 3, {"compression.type": "producer"})
    produce(kafka.bootstrap_servers, topic, batch([good(0), NOT_UTF8, good(2)]), partition=2)
    found = read(client, topic, 2)
    assert {each.partition for each in found} == {Partition(topic, 2)}
    assert [each.flaw is None for each in found] == [True, False, True]
