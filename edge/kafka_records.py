"""Lets kafka-python's consumer read on behind whatever it cannot decode: such a record comes out with its flaw.

kafka-python decodes a fetched partition in `Fetcher.PartitionRecords`, which stops for good at the first bad byte. Each
consumer has a Fetcher of its own, so a class of ours takes that place without touching other consumers.
"""

import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import calc_crc32c as crc32c

from edge import recordbatch
from edge.recordbatch import BatchHeader, Decoded
from edge.records import Partition, Record

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a batch is fetched before its damage is taken to be the broker's and not the network's."""
_PAUSES_S = (0.1, 0.4)


def tolerate(consumer: Any) -> None:
    """Make a consumer tolerant: what it returns are our `Record`s, some of them with a flaw."""
    consumer._fetcher.PartitionRecords = partial(_TolerantRecords, _Suspects())


class _Suspects:
    """Damaged batches, by partition: the position at which one was met, how often, and the last offset given up."""

    def __init__(self) -> None:
        self._met: dict[Any, tuple[int, int]] = {}
        self._given_up: dict[Any, int] = {}

    def is_passed(self, tp: Any, header: BatchHeader | None, position: int) -> bool:
        """Whether it was given up already, or lies between such a one and the position: a damaged header can make
        the broker send all these with each response.
        """
        last = self._given_up.get(tp)
        if header is None or last is None or last >= position:
            return False
        return header.base_offset <= last or header.last_offset < position

    def is_poison(self, tp: Any, position: int, reason: str) -> bool:
        """Whether to give up; else this has waited, so that the batch can be fetched again."""
        offset, count = self._met.get(tp, (position, 0))
        count = count + 1 if offset == position else 1
        self._met[tp] = position, count
        if count == 1:
            log.warning("%s-%d offset %d is fetched again, since %s", tp.topic, tp.partition, position, reason)
        if count >= ATTEMPTS:
            return True
        time.sleep(_PAUSES_S[count - 1])
        return False

    def give_up(self, tp: Any, last_offset: int) -> None:
        """Note that all offsets up to this one are dead letters."""
        self._given_up[tp] = last_offset


class _TolerantRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched from one partition."""

    def __init__(self, suspects: _Suspects, fetch_offset: int, tp: Any, records: Any, **options: Any) -> None:
        self._suspects = suspects
        if not records.has_next() and records.size_in_bytes():
            # kafka-python gives up on a response without a whole batch before anybody could look at it.
            records._next_slice = memoryview(records._buffer)
        super().__init__(fetch_offset, tp, records, **options)

    def _unpack_records(self, tp: Any, records: Any, *_: object) -> Iterator[Record]:
        """What kafka-python does here, but for a `ConsumerRecord` of each record with sizes that nobody looks at."""
        partition = Partition(*tp)
        batches = _Batches(self, records._buffer, self._suspects)
        try:
            while (batch := batches.next_batch()) is not None:
                self.leader_epoch = batch.leader_epoch
                for decoded in () if self._is_hidden(batch) else batch:
                    self.next_fetch_offset = decoded.offset + 1
                    yield Record(partition, *decoded)
                self.next_fetch_offset = batch.next_offset
                self.bytes_read += 1  # whether there were any is what kafka-python looks at
        except Exception:
            # kafka-python would ask this iterator, which has ended, for more, for ever.
            self.drain()
            raise
        self.drain()

    def _is_hidden(self, batch: Any) -> bool:
        """Whether a batch is a transaction's marker, or of one that was aborted."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


class _Batches:
    """The batches of a response, as `PartitionRecords` reads them."""

    def __init__(self, owner: _TolerantRecords, data: bytes | memoryview, suspects: _Suspects) -> None:
        self._owner = owner
        self._tp = owner.topic_partition
        self._suspects = suspects
        self._batches = recordbatch.split(data)
        self._ahead: bytes | None = None

    def next_batch(self) -> Any:
        """The next batch; None at the end, or where the rest is to be fetched again."""
        while (batch := self._take()) is not None:
            self._ahead = self._take()
            position = self._owner.next_fetch_offset
            header = recordbatch.parse_header(batch)
            damage = _damage(batch, header, position)
            if header is not None and damage is None:
                if header.is_control:
                    return DefaultRecordBatch(batch)
                return _Batch(header, header.last_offset, recordbatch.decode(batch, header))
            if self._ahead is not None and self._suspects.is_passed(self._tp, header, position):
                continue
            if not self._suspects.is_poison(self._tp, position, damage or ""):
                return None
            return self._give_up(batch, header, position, damage or "")
        return None

    def _take(self) -> bytes | None:
        batch, self._ahead = self._ahead, None
        return next(self._batches, None) if batch is None else batch

    def _give_up(self, batch: bytes, header: BatchHeader | None, position: int, damage: str) -> "_Batch":
        last = self._last_offset(header, position)
        self._suspects.give_up(self._tp, last)
        neutral = BatchHeader(position, 0, -1, 2, 0, 0, last - position, -1, -1, -1, -1, -1, 1)
        return _Batch(neutral, last, iter([recordbatch.whole(batch, position, last, damage)]))

    def _last_offset(self, header: BatchHeader | None, position: int) -> int:
        """Where a damaged batch ends: before a sound next one, or where its header says, if that makes sense."""
        if self._ahead is not None:
            following = recordbatch.parse_header(self._ahead)
            if (
                following is not None
                and following.base_offset > position
                and not _damage(self._ahead, following, position)
            ):
                return following.base_offset - 1
        if header is None or header.base_offset > position:
            return position
        return max(position, header.base_offset + min(header.records - 1, header.last_offset_delta))


def _damage(batch: bytes, header: BatchHeader | None, position: int) -> str | None:
    if header is None or len(batch) != header.length + 12:
        return "the length of the record batch is wrong"
    if header.magic != 2:
        return f"the record batch is of format {header.magic}; 2 is read here"
    if crc32c(recordbatch.checksummed(batch)) != header.crc:
        return "the record batch does not match its CRC"
    # The CRC covers neither the first offset nor the length.
    if header.last_offset < position:
        return "the record batch ends before the offset that was asked for"
    return None


class _Batch:
    """A batch as `PartitionRecords` reads it: its header, to sort out transactions, and its records."""

    is_control_batch = False

    def __init__(self, header: BatchHeader, last_offset: int, records: Iterator[Decoded]) -> None:
        self.last_offset = last_offset
        self.next_offset = last_offset + 1
        self.leader_epoch = header.leader_epoch
        self.producer_id = header.producer_id
        self.is_transactional = header.is_transactional
        self._records = records

    def has_producer_id(self) -> bool:
        """Whether an idempotent producer wrote it."""
        return self.producer_id >= 0

    def __iter__(self) -> Iterator[Decoded]:
        return self._records
