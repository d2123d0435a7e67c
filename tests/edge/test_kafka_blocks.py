"""Blocks of records inside kafka-python's own producer, without a broker: the real one's part is in tests/system."""

from types import SimpleNamespace
from typing import Any

import kafka.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionManager
from kafka.protocol.producer import ProduceResponse
from kafka.record.default_records import DefaultRecordBatchBuilder

from edge import kafka_blocks
from edge.errors import BrokerUnavailableError, ConfigurationError
from edge.kafka_blocks import Block, encode
from edge.kafka_sender import SharedSelector
from edge.kafka_sink import KafkaSink
from edge.recordbatch import decode, parse_header
from edge.records import Encoded

FIELD = st.none() | st.binary(max_size=200)
RECORDS = st.lists(
    st.builds(Encoded, FIELD, FIELD, st.lists(st.tuples(st.text(max_size=20), FIELD), max_size=4)), min_size=1
)
OUT = TopicPartition("out", 0)


@given(RECORDS, st.integers(0, 2**40), st.integers(0, 2**20), st.booleans())
def test_a_block_is_what_kafka_python_itself_would_send(
    records: list[Encoded], first_ms: int, later_ms: int, is_transactional: bool
) -> None:
    half = len(records) // 2
    times = [first_ms] * half + [first_ms + later_ms] * (len(records) - half)
    state = (7, 3, 11, is_transactional)
    block = Block()
    assert block.extend([encode(record) for record in records[:half]], 0, first_ms) == half
    assert block.extend([encode(record) for record in records], half, first_ms + later_ms) == len(records) - half
    block.set_producer_state(*state)
    block.close()
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 2**30)
    for offset, (record, timestamp_ms) in enumerate(zip(records, times, strict=True)):
        builder.append(offset, timestamp_ms, record.key, record.value, list(record.headers))
    builder.set_producer_state(*state)
    assert block.buffer() == builder.build()


def test_large_numbers_are_written_as_kafka_python_does() -> None:
    record = Encoded(bytes(5000), bytes(3_000_000), [("x" * 5000, bytes(70_000))])
    block, builder = Block(), DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 2**30)
    block.extend([encode(record)], 0, 5)
    block.close()
    builder.append(0, 5, record.key, record.value, list(record.headers))
    assert block.buffer() == builder.build()


class Bench:
    """kafka-python's accumulator and sender, whose thread is this one's: `exchange` is one turn of it."""

    def __init__(self) -> None:
        self.transactions = TransactionManager(api_version=(4, 1))
        self.transactions.set_producer_id_and_epoch(ProducerIdAndEpoch(7, 0))
        self.accumulator = RecordAccumulator(transaction_manager=self.transactions, retry_backoff_ms=0)
        self.wakeups = 0
        cluster = SimpleNamespace(
            leader_for_partition=lambda tp: 0,
            partitions_for_broker=lambda node: [TopicPartition("out", 0), TopicPartition("out", 1)],
            request_update=lambda: None,
        )
        # The sender's thread is never idle here, so that it is always woken.
        manager = SimpleNamespace(_conns={}, _net=SimpleNamespace(_selector=SharedSelector()))
        client = SimpleNamespace(cluster=cluster, wakeup=self.wake_up, _manager=manager)
        self.sender = Sender(client, cluster, self.accumulator, transaction_manager=self.transactions)
        self.sink = KafkaSink(
            SimpleNamespace(
                config={"max_request_size": 100_000},
                partitions_for=lambda topic: {0, 1},
                _partition=lambda topic, number, key, *_: 1 if key == b"other" else 0,
                _accumulator=self.accumulator,
                _transaction_manager=self.transactions,
                _sender=self.sender,
            )
        )
        self.settled: list[Exception | None] = []

    def wake_up(self) -> None:
        self.wakeups += 1

    def write(self, *values: bytes, key: bytes | None = None) -> None:
        self.sink.write_all("out", [Encoded(key, value, ()) for value in values], self.settled.append)

    def drain(self) -> list[Any]:
        """The batches that would be sent now, one a partition."""
        batches: list[Any] = self.accumulator.drain(self.sender._metadata, [0], 10**6)[0]
        return batches

    def answer(self, batch: Any, code: int = 0, **fields: Any) -> None:
        """What the broker says of a batch."""
        kind = ProduceResponse.TopicProduceResponse.PartitionProduceResponse
        self.sender._complete_batch(batch, kind(error_code=code, base_offset=0, **fields))


def values(batch: Any) -> list[bytes | None]:
    data = bytes(batch.records.buffer())
    header = parse_header(data)
    assert header is not None
    return [record.value for record in decode(data, header)]


def test_writes_share_a_batch_until_it_is_sent_and_each_is_settled_once() -> None:
    bench = Bench()
    bench.write(b"1", b"2")
    bench.write(b"3")
    (first,) = bench.drain()
    bench.write(b"4")
    (second,) = bench.drain()
    assert (values(first), values(second)) == ([b"1", b"2", b"3"], [b"4"])
    assert (first.base_sequence, second.base_sequence) == (0, 3)
    assert bench.wakeups == 2
    bench.answer(first)
    assert bench.settled == [None, None]
    bench.answer(second)
    assert bench.settled == [None, None, None]


def test_a_write_to_several_partitions_is_settled_with_the_last_of_them() -> None:
    bench = Bench()
    batch = [Encoded(key, value, ()) for key, value in [(None, b"1"), (b"other", b"2"), (None, b"3")]]
    bench.sink.write_all("out", batch, bench.settled.append)
    first, second = bench.drain()
    assert (values(first), values(second)) == ([b"1", b"3"], [b"2"])
    bench.answer(second)
    assert bench.settled == []
    bench.answer(first)
    assert bench.settled == [None]


def test_more_than_one_block_takes_goes_into_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_blocks, "BLOCK_BYTES", 250)
    bench = Bench()
    bench.write(*(bytes([n]) * 50 for n in range(5)), b"x" * 1000, b"end")
    sent = []
    while batches := bench.drain():
        sent += [values(batches[0])]
        bench.answer(batches[0])
    assert [len(part) for part in sent] == [3, 2, 1, 1]
    assert [value for part in sent for value in part] == [*(bytes([n]) * 50 for n in range(5)), b"x" * 1000, b"end"]
    assert bench.settled == [None]


def test_a_batch_that_the_broker_finds_too_large_is_sent_in_parts() -> None:
    bench = Bench()
    bench.write(b"1", b"2", b"3")
    bench.write(b"4", b"5")
    (whole,) = bench.drain()
    bench.answer(whole, kafka.errors.MessageSizeTooLargeError.errno)
    sent = []
    while batches := bench.drain():
        sent.append(values(batches[0]))
        bench.answer(batches[0])
        assert len(bench.settled) == len(sent)
    assert sent == [[b"1", b"2", b"3"], [b"4", b"5"]]
    assert bench.settled == [None, None]


def test_what_may_pass_is_sent_again_under_the_same_number() -> None:
    bench = Bench()
    bench.write(b"1")
    (batch,) = bench.drain()
    before = bytes(batch.records.buffer())
    bench.answer(batch, kafka.errors.NotLeaderForPartitionError.errno)
    bench.write(b"2")
    (again,) = bench.drain()
    assert bytes(again.records.buffer()) == before
    bench.answer(again)
    (second,) = bench.drain()
    assert (values(second), second.base_sequence) == ([b"2"], 1)


def test_what_no_repetition_mends_is_told_for_the_write_that_has_it_and_for_its_neighbours() -> None:
    bench = Bench()
    bench.write(b"1", b"2")
    (batch,) = bench.drain()
    bench.answer(batch, kafka.errors.InvalidRecordError.errno, record_errors=[(1, "no key")], error_message="bad")
    (error,) = bench.settled
    assert isinstance(error, ConfigurationError)
    assert "no key" in error.message


def test_a_record_larger_than_a_request_is_refused_and_nothing_of_its_write_is_sent() -> None:
    bench = Bench()
    bench.write(b"1", bytes(100_000))
    assert [type(error) for error in bench.settled] == [ConfigurationError]
    assert bench.drain() == []


def test_a_producer_that_is_closed_takes_nothing() -> None:
    bench = Bench()
    bench.accumulator.close()
    bench.write(b"1")
    assert [type(error) for error in bench.settled] == [BrokerUnavailableError]


def test_a_producer_that_is_closed_by_force_settles_what_it_had() -> None:
    bench = Bench()
    bench.write(b"1", b"2")
    (batch,) = bench.drain()
    bench.write(b"3")
    bench.accumulator.abort_incomplete_batches()
    assert [type(error) for error in bench.settled] == [BrokerUnavailableError] * 2
    bench.answer(batch)
    assert len(bench.settled) == 2


def test_what_is_sent_one_by_one_goes_behind_a_block() -> None:
    bench = Bench()
    bench.write(b"1")
    bench.accumulator.append(OUT, None, None, b"2", [])
    bench.write(b"3")
    sent = []
    while batches := bench.drain():
        sent.append(values(batches[0]))
        bench.answer(batches[0])
    assert sent == [[b"1"], [b"2"], [b"3"]]
