"""kafka-python's consumer made tolerant: damage on the wire is fetched again, damage that stays becomes a flaw."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.structs import TopicPartition

from edge import kafka_records
from edge.kafka_records import ATTEMPTS, tolerate
from edge.recordbatch import FIRST_OFFSET
from tests.system.raw import batch, field, record

TP = TopicPartition("in", 0)


class Consumer:
    """As much of a consumer as reads one partition: `fetch` is a response's way to the application."""

    def __init__(self) -> None:
        self._fetcher = type("OwnFetcher", (), {"PartitionRecords": Fetcher.PartitionRecords})()
        self.position = 0
        tolerate(self)

    def fetch(self, data: bytes, **options: Any) -> list[tuple[int, bytes | None, str | None]]:
        """The records in a response to a fetch from `position`: offset, value, flaw."""
        records = MemoryRecords(data)
        part = self._fetcher.PartitionRecords(self.position, TP, records, **options)
        assert records.has_next() or not data, "kafka-python would refuse the response"
        taken = []
        while part:
            taken += part.take(2)
        self.position = part.next_fetch_offset
        return [(r.offset, r.value, r.flaw) for r in taken]


@pytest.fixture(autouse=True, scope="module")
def no_pauses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka_records, "_PAUSES_S", (0.0, 0.0))
        yield


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    kafka_records.log.disabled = True
    yield
    kafka_records.log.disabled = False


def three_batches() -> list[bytes]:
    return [batch([record(0, b"a"), record(1, b"b")], base=base) for base in (0, 2, 4)]


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]


def test_the_consumer_of_somebody_else_is_left_alone() -> None:
    before = Fetcher.PartitionRecords
    Consumer()
    assert Fetcher.PartitionRecords is before


def test_damage_on_the_wire_is_fetched_again(caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = three_batches()
    consumer = Consumer()
    assert [offset for offset, *_ in consumer.fetch(first + flip(second, 70) + third)] == [0, 1]
    assert consumer.position == 2
    good = [(2, b"a", None), (3, b"b", None), (4, b"a", None), (5, b"b", None)]
    assert consumer.fetch(second + third) == good
    assert caplog.messages == ["in-0 offset 2 is fetched again, since the record batch does not match its CRC"]


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (70, "does not match its CRC"),  # a record
        (16, "is of format 18"),
        (17, "does not match its CRC"),
        (26, "does not match its CRC"),  # the last offset
        (60, "does not match its CRC"),  # the count
    ],
)
def test_damage_that_stays_is_one_flaw_and_the_batches_behind_it_are_read(position: int, reason: str) -> None:
    first, second, third = three_batches()
    damaged = flip(second, position)
    consumer = Consumer()
    assert len(consumer.fetch(first + damaged + third)) == 2
    for _ in range(ATTEMPTS - 2):
        assert consumer.fetch(damaged + third) == []
    (poison, *rest) = consumer.fetch(damaged + third)
    assert poison[:2] == (3, damaged)
    assert reason in (poison[2] or "")
    assert rest == [(4, b"a", None), (5, b"b", None)]
    assert consumer.position == 6


def test_a_damaged_batch_that_the_broker_sends_once_more_is_passed_over_but_not_when_rewound() -> None:
    first, second, third = three_batches()
    damaged = flip(second, 26)
    consumer = Consumer()
    consumer.fetch(first)
    for _ in range(ATTEMPTS):
        taken = consumer.fetch(damaged)
    assert taken == [(3, damaged, "the record batch does not match its CRC")]
    consumer.position = 6
    fourth = batch([record(0, b"c")], base=6)
    assert consumer.fetch(damaged + third + fourth) == [(6, b"c", None)]
    consumer.position = 4
    assert consumer.fetch(damaged + third) == [(4, b"a", None), (5, b"b", None)]
    consumer.position = 2
    assert [offset for offset, *_ in consumer.fetch(damaged + third)] == [3, 4, 5]


def test_a_response_without_one_whole_batch_is_given_up_after_some_attempts() -> None:
    consumer = Consumer()
    truncated = three_batches()[0][:-1]
    for _ in range(ATTEMPTS):
        taken = consumer.fetch(truncated)
    assert taken == [(1, truncated, "the length of the record batch is wrong")]
    assert consumer.position == 2


def test_a_batch_that_lies_before_what_was_asked_for_is_no_answer() -> None:
    consumer = Consumer()
    consumer.position = 4
    for _ in range(ATTEMPTS):
        taken = consumer.fetch(three_batches()[0])
    assert [(offset, flaw) for offset, _, flaw in taken] == [
        (4, "the record batch ends before the offset that was asked for")
    ]
    assert consumer.position == 5


def test_a_response_may_end_within_a_batch() -> None:
    first, second, _ = three_batches()
    consumer = Consumer()
    assert consumer.fetch(first + second[:-1]) == [(0, b"a", None), (1, b"b", None)]
    assert consumer.position == 2


def test_an_aborted_transaction_and_its_marker_stay_hidden() -> None:
    first, second, third = three_batches()
    abort = field(b"\0\0\0" + field(b"\0\0\0\0") + field(None) + b"\0")
    marker = second[:57] + struct.pack(">i", 1) + abort
    data = owned(first, 0x10) + owned(marker, 0x30) + third
    aborted = [type("Aborted", (), {"producer_id": 77, "first_offset": 0})()]
    assert len(Consumer().fetch(data)) == 4
    committed = Consumer().fetch(data, isolation_level=1, aborted_transactions=aborted)
    assert committed == [(4, b"a", None), (5, b"b", None)]


def test_a_marker_that_cannot_be_read_is_an_error_once_and_not_a_busy_loop() -> None:
    broken = owned(batch([b"\xff"]), 0x30)
    part = Consumer()._fetcher.PartitionRecords(0, TP, MemoryRecords(broken), isolation_level=1)
    with pytest.raises(CorruptRecordError):
        part.take(1)
    assert not part


def owned(data: bytes, attributes: int) -> bytes:
    """The batch as producer 77 wrote it, with its length and CRC put right."""
    tail = struct.pack(">h", attributes) + data[23:43] + struct.pack(">q", 77) + data[51:]
    return data[:8] + struct.pack(">i", len(tail) + 9) + data[12:17] + struct.pack(">I", crc32c(tail)) + tail


def test_the_flaw_of_a_range_names_its_first_offset() -> None:
    data = batch([b""] * 5, 4, b"zstd", base=0)
    part = Consumer()._fetcher.PartitionRecords(0, TP, MemoryRecords(data))
    (taken,) = part.take(10)
    assert (taken.offset, dict(taken.headers)[FIRST_OFFSET]) == (4, b"0")


@pytest.mark.usefixtures("quiet")
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=6), st.integers(0, 500))
def test_whatever_the_response_the_consumer_gets_on(damage: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(b"".join(three_batches())[: max(cut, 1)])
    for position, byte in damage:
        data[min(position, len(data) - 1)] = byte
    consumer = Consumer()
    for _ in range(ATTEMPTS):
        consumer.fetch(bytes(data))
    assert consumer.position > 0
