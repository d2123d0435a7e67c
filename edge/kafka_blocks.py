"""Hands kafka-python's producer whole blocks of records, which it would otherwise take one by one.

`KafkaProducer.send` makes a future for each record, wakes the producer's thread for most of them, and builds its batch
byte by byte. Here records are encoded in one go, with one callback and at most one wake-up a write; from there on
kafka-python drains, numbers, sends and repeats a batch like its own. What it asks of a batch's records is in `Block`.

The format: https://kafka.apache.org/documentation/#recordbatch.
"""

import struct
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import kafka
import kafka.errors
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.util import calc_crc32c as crc32c

from edge.kafka_sender import SharedSender
from edge.records import Encoded

BLOCK_BYTES = 32 * 1024
"""A hundred predictions: kafka-python has one batch of a partition on its way, which a crash may repeat.

A single record may be larger.
"""

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_END, _CRC_START, _CRC_END = 12, 17, 21
_TRANSACTIONAL = 0x10
_OVERHEAD = _HEADER.size + 21
"""What kafka-python allows for a batch of one record, besides key, value and headers."""

OnSettled = Callable[[Sequence[Exception]], None]
"""Called, on the producer's thread or the one that writes, with what went wrong: nothing when the broker has all."""


class BlockProducer:
    """Sends through a `KafkaProducer`, many records at a time."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        # What `KafkaProducer.send` itself works with: a kafka-python without these fails here, at the start.
        self._place, self._transactions = producer._partition, producer._transaction_manager
        self._accumulator, self._sender = producer._accumulator, SharedSender(producer)
        self._batches, self._incomplete = self._accumulator._batches, self._accumulator._incomplete

    def send_all(self, topic: str, records: Sequence[Encoded], on_settled: OnSettled) -> None:
        """Start to send records, in order for each partition.

        Raises: KafkaError when they cannot be sent.
        """
        self._producer.partitions_for(topic)
        write = _Write(len(records), on_settled)
        is_new = False
        try:
            for number, bodies in self._by_partition(topic, records).items():
                is_new |= self._append(kafka.TopicPartition(topic, number), bodies, write)
        finally:
            if is_new:
                self._sender.send(len(records))

    def _by_partition(self, topic: str, records: Sequence[Encoded]) -> dict[int, list[bytes]]:
        """Encoded records by partition: the key's, as kafka-python chooses it, else one at random for all of them."""
        partitions: dict[int, list[bytes]] = {}
        chosen: dict[bytes | None, list[bytes]] = {}
        for record in records:
            bodies = chosen.get(record.key)
            if bodies is None:
                number = self._place(topic, None, record.key, None, record.key, None)
                bodies = chosen[record.key] = partitions.setdefault(number, [])
            bodies.append(encode(record))
        size = max(len(body) for bodies in partitions.values() for body in bodies) + _OVERHEAD
        if size > self._producer.config["max_request_size"]:
            raise kafka.errors.MessageSizeTooLargeError(f"it has {size:,} bytes")
        return partitions

    def _append(self, tp: Any, bodies: list[bytes], write: "_Write") -> bool:
        """Add to the last batch that is not on its way, or start one, of which the producer's thread does not know."""
        if self._transactions is not None and self._transactions.is_transactional():
            self._transactions.maybe_add_partition_to_transaction(tp)
        now_ms = int(time.time() * 1000)
        with self._accumulator._tp_lock(tp):
            if self._accumulator._closed:
                raise kafka.errors.IllegalStateError("the producer is closed")
            batches = self._batches[tp]
            start, known = 0, len(batches)
            while start < len(bodies):
                block = batches[-1].records if batches else None
                taken = block.extend(bodies, start, now_ms) if isinstance(block, Block) else 0
                if not taken:
                    batches.append(ProducerBatch(tp, Block()))
                    self._incomplete.add(batches[-1])
                else:
                    write.join(batches[-1], taken)
                start += taken
            return len(batches) > known


class _Write:
    """One `send_all` until its last record is settled; kafka-python takes it for the future of each of them."""

    def __init__(self, records: int, on_settled: OnSettled) -> None:
        self._left = records
        self._errors: list[Exception] = []
        self._on_settled = on_settled

    def join(self, batch: Any, records: int) -> None:
        """Note that the batch's last records are of this write."""
        first = len(batch._record_futures)
        batch._record_futures += [self] * records
        batch.produce_future.add_callback(partial(self._settle, range(first, first + records)))

    def rebind(self, produce_future: Any, index: int) -> None:
        """Called for each record of a batch that the broker finds too large: it is sent again in parts."""
        produce_future.add_callback(partial(self._settle, range(index, index + 1)))

    def _settle(self, indices: range, result: tuple[int, int, Callable[[int], Exception] | None]) -> None:
        _, _, error_of = result
        if error_of is not None:
            self._errors += map(error_of, indices)
        self._left -= len(indices)
        if not self._left:
            self._on_settled(self._errors)


class Block:
    """The records of a batch, as kafka-python's accumulator and sender use them; offsets count from 0."""

    def __init__(self) -> None:
        self.producer_id, self.producer_epoch, self.base_sequence = -1, -1, -1
        self._attributes = 0
        self._buffer = bytearray(_HEADER.size)
        self._count = 0
        self._first_ms = self._last_ms = 0
        self._is_closed = False

    def extend(self, bodies: Sequence[bytes], start: int, now_ms: int) -> int:
        """Take as many encoded records as there is room for, from `start` on; returns how many."""
        if self._is_closed:
            return 0
        if not self._count:
            self._first_ms = now_ms
        self._last_ms = max(self._last_ms, now_ms)
        delta_ms = varint(now_ms - self._first_ms)
        buffer, before = self._buffer, self._count
        for index in range(start, len(bodies)):
            record = b"\0%b%b%b" % (delta_ms, varint(self._count), bodies[index])
            if len(buffer) + len(record) > BLOCK_BYTES and self._count:
                break
            buffer += varint(len(record))
            buffer += record
            self._count += 1
        return self._count - before

    def append(self, timestamp_ms: int | None, key: bytes | None, value: bytes | None, headers: object) -> None:
        """What `KafkaProducer.send` would add: there is no room, it starts a batch of its own."""

    def next_offset(self) -> int:
        """How many records there are."""
        return self._count

    def size_in_bytes(self) -> int:
        """Of the batch as it is sent."""
        return len(self._buffer)

    def is_full(self) -> bool:
        """Whether nothing more fits, so that it need not linger."""
        return self._is_closed or len(self._buffer) >= BLOCK_BYTES

    def set_producer_state(self, producer_id: int, epoch: int, sequence: int, is_transactional: bool) -> None:
        """Called once, before it is closed: by these the broker knows what is sent again."""
        self.producer_id, self.producer_epoch, self.base_sequence = producer_id, epoch, sequence
        self._attributes = _TRANSACTIONAL if is_transactional else 0

    def close(self) -> None:
        """Called before each attempt to send it: nothing is added any more."""
        if self._is_closed:
            return
        self._is_closed = True
        buffer, state = self._buffer, (self.producer_id, self.producer_epoch, self.base_sequence)
        times = (self._first_ms, self._last_ms)
        length = len(buffer) - _LENGTH_END
        _HEADER.pack_into(buffer, 0, 0, length, 0, 2, 0, self._attributes, self._count - 1, *times, *state, self._count)
        buffer[_CRC_START:_CRC_END] = crc32c(memoryview(buffer)[_CRC_END:]).to_bytes(4, "big")

    def buffer(self) -> bytearray:
        """The batch as it is sent."""
        return self._buffer


def encode(record: Encoded) -> bytes:
    """Key, value and headers of a record."""
    key, value, headers = record
    parts = [_field(key), _field(value), varint(len(headers))]
    for name, content in headers:
        parts.append(_name(name))
        parts.append(_field(content))
    return b"".join(parts)


def _field(content: bytes | None) -> bytes:
    return varint(-1) if content is None else varint(len(content)) + content


@lru_cache(256)
def _name(name: str) -> bytes:
    return _field(name.encode())


def varint(number: int) -> bytes:
    """A number from -1 to 2**31, in zigzag coding and seven bits a byte."""
    return _SMALL[number] if number < len(_SMALL) - 1 else _varint(number)


def _varint(number: int) -> bytes:
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    coded = bytearray()
    while rest > 0x7F:
        coded.append(0x80 | (rest & 0x7F))
        rest >>= 7
    coded.append(rest)
    return bytes(coded)


# By their indices, of which -1 means the last one: most lengths are small.
_SMALL = [*(_varint(number) for number in range(4096)), _varint(-1)]
