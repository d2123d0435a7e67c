"""Records from librdkafka's consumer; what librdkafka cannot read, or numbers oddly, kafka-python's reader reads."""

import itertools
import logging
import operator
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from edge.confluent_errors import DAMAGED, PASSING, translate
from edge.confluent_watch import Statistics
from edge.errors import EdgeError, is_fatal
from edge.outage import Outage
from edge.recordbatch import CODEC
from edge.records import Partition, Record

log = logging.getLogger(__name__)

DETOUR_RECORDS = 500
"""So many records are read by the other reader before librdkafka is tried again."""
HELD_MOST = 100
"""So many records are kept during a pause before librdkafka is paused, which costs it all that it has fetched."""
HARMLESS_GAPS = 3
"""So often nothing was found in a gap between two offsets before a partition's gaps are taken to be transactions'."""
_BREATH_S, _PAUSE_S, _ANSWER_TIMEOUT_S = 0.001, 0.25, 5.0
_CODECS = (b"snappy", b"lz4", b"zstd")

_headers_of = operator.methodcaller("headers")
"""confluent-kafka 2.16 may return something and leave an exception behind, which only this way of a call looks for."""

Scan = Callable[[str, Mapping[Partition, int]], Generator[Record]]


class Reader:
    """Reads the partitions that one consumer owns, in order.

    `scan` reads a topic from given offsets whatever the bytes there; `serve` gives producers a moment, up to so many
    seconds, to take in acknowledgements, and `hurry` lets them send what lingers; `on_step_back` is called when offsets
    no longer ascend.
    """

    def __init__(
        self, topic: str, group: str, scan: Scan, serve: Callable[[float], None], hurry: Callable[[], None]
    ) -> None:
        self.topic = topic
        self.on_step_back: Callable[[], None] = lambda: None
        self.owned: set[int] = set()
        self.is_paused = False
        self.is_lost = False
        """Whether it is not known where to go on: nothing is read until somebody seeks."""
        self.fatal: EdgeError | None = None
        self._group = group
        self._scan = scan
        self._serve = serve
        self._hurry = hurry
        self._is_flooded = False
        self._rebalances = 0
        self._held: list[Record] = []
        self._expected: dict[int, int] = {}
        self._unsought: dict[int, int] = {}
        self._gaps: dict[int, int] = {}
        self._leapt_from: dict[int, int] = {}
        self._paused: list[Any] = []
        self._names: dict[int, Partition] = {}
        self._reading = Outage("reading fails and will be repeated", "reading goes on")

    def start(self, consumer: Any, statistics: Statistics) -> None:
        """Read from this consumer from now on."""
        self._consumer = consumer
        self._statistics = statistics

    def forget(self) -> None:
        """The partitions are owned no longer, or will be read from what is committed."""
        self._rebalances += 1
        self.owned.clear()
        self._held.clear()
        self._expected.clear()
        self._unsought.clear()
        self._leapt_from.clear()
        self._paused.clear()

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records` records, waiting for the first."""
        if timeout_s and not self._is_flooded:
            self._hurry()
        else:
            self._serve(0.0)
        if self._unsought:
            self.seek(dict(self._unsought))
        if self.is_paused:
            self._hold(timeout_s)
            return []
        if self._paused:
            self._consumer.resume(self._paused)
            self._paused.clear()
        if not self._held:
            self._held = self._fetch(max_records, timeout_s)
            self._is_flooded = len(self._held) >= max_records
        records, self._held = self._held[:max_records], self._held[max_records:]
        return records

    @property
    def is_ahead(self) -> bool:
        """Whether the last read left some: it got all that it asked for."""
        return self._is_flooded and not self.is_paused

    @property
    def lag(self) -> dict[Partition, int | None]:
        """As `records.Source.lag`: what librdkafka has not handed out, and what is held here."""
        held = Counter(record.partition.number for record in self._held)
        known = self._statistics.lag
        return {Partition(self.topic, n): known[n] + held[n] if n in known else None for n in self.owned}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go on from these offsets of partitions that are owned."""
        self._held = [record for record in self._held if record.partition.number not in offsets]
        for number, offset in offsets.items():
            self._unsought.pop(number, None)
            self._expected.pop(number, None)
            if number in self.owned:
                self._seek(number, offset)
        self.is_lost = False

    def _seek(self, number: int, offset: int) -> None:
        try:
            self._consumer.seek(TopicPartition(self.topic, number, offset))
        except KafkaException:
            # One that was just assigned is not read yet.
            self._unsought[number] = offset
        else:
            if offset >= 0:
                self._expected[number] = offset

    def _hold(self, timeout_s: float) -> None:
        """Keep the consumer going, and what comes; librdkafka is paused only when that lasts."""
        if len(self._held) < HELD_MOST:
            self._held += self._fetch(1, _BREATH_S)
            self._serve(_BREATH_S)
            return
        if not self._paused:
            self._paused = [TopicPartition(self.topic, number) for number in self.owned]
            self._consumer.pause(self._paused)
        self._held += self._fetch(1, timeout_s)

    def _fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        # The first consume returns as soon as there is one record, a larger one only when all have come.
        try:
            messages = self._consumer.consume(1, timeout_s)
            rebalances = self._rebalances
            if messages and max_records > 1:
                messages += self._consumer.consume(max_records - 1, 0)
        except KafkaException as error:
            raise translate(error, "reading", topic=self.topic, group=self._group) from error
        if self._rebalances != rebalances:
            # Nobody knows which of these came before the partitions were revoked, or after they were assigned again.
            self.is_lost = True
            return []
        return self._decode(messages) if messages else self._unstick()

    def _decode(self, messages: list[Any]) -> list[Record]:
        records: list[Record] = []
        expected, skipped = self._expected, set(self._unsought)
        for message in messages:
            number, offset = message.partition(), message.offset()
            if number in skipped:
                continue
            start = expected.get(number, offset)
            if message.error() is not None:
                if not self._is_damaged(message.error()) or number not in self.owned:
                    continue
            elif offset == start or (offset > start and self._leaps_over(number, start)):
                record = self._record(message, number, offset)
                if record is not None:
                    records.append(record)
                    expected[number] = offset + 1
                    continue
            skipped.add(number)
            records += self._look_into(number, start, offset)
        if records:
            self._reading.note(False)
        return records

    def _record(self, message: Any, number: int, offset: int) -> Record | None:
        """None when the name of a header is not UTF-8."""
        try:
            headers = _headers_of(message) or ()
        except SystemError:
            return None
        name = self._names.get(number) or self._names.setdefault(number, Partition(self.topic, number))
        return Record(name, offset, message.timestamp()[1], message.key(), message.value(), headers)

    def _leaps_over(self, number: int, start: int) -> bool:
        """Whether a gap is believed to hold nothing."""
        if self._gaps.get(number, 0) < HARMLESS_GAPS:
            return False
        self._leapt_from[number] = start
        return True

    def _look_into(self, number: int, start: int, offset: int) -> list[Record]:
        """What is there, where the next offset was to be `start` and a message says that it is `offset`."""
        if offset < start:
            self.on_step_back()
            # Either this offset is wrong, or one that was believed is, and this lies behind it.
            leapt_from = self._leapt_from.get(number, start)
            start = leapt_from if leapt_from <= offset else start
        records = self._detour(number, start)
        if offset > start:
            is_harmless = bool(records) and records[0].offset == offset and records[0].flaw is None
            self._gaps[number] = self._gaps.get(number, 0) + 1 if is_harmless else 0
        return records

    def _unstick(self) -> list[Record]:
        """Read where librdkafka stands still without a word, as it does before what makes no sense to it."""
        stuck, self._statistics.stuck = self._statistics.stuck, {}
        records: list[Record] = []
        for number, offset in stuck.items():
            start = self._expected.get(number) if number in self._expected else self._first_offset(number)
            # The figures may be from before the last seek, or from before the partition was assigned.
            if start is not None and start <= offset and number in self.owned and not self._paused:
                records += self._detour(number, start)
        return records

    def _first_offset(self, number: int) -> int | None:
        """Where a partition is read from that was just assigned; None when nobody says."""
        partition = TopicPartition(self.topic, number)
        try:
            (committed,) = self._consumer.committed([partition], _ANSWER_TIMEOUT_S)
            lowest, _ = self._consumer.get_watermark_offsets(partition, _ANSWER_TIMEOUT_S)
        except KafkaException:
            return None
        return max(int(committed.offset), int(lowest))

    def _detour(self, number: int, start: int) -> list[Record]:
        """Read some records from there by other means, and let librdkafka go on behind them."""
        scanned, records = self._scan(self.topic, {Partition(self.topic, number): start}), list[Record]()
        try:
            first = itertools.islice(scanned, 1)
            records += itertools.chain(
                first, itertools.takewhile(_is_readable, itertools.islice(scanned, DETOUR_RECORDS))
            )
        except EdgeError as error:
            if is_fatal(error):
                raise
            self._reading.note(True, error)
        finally:
            scanned.close()
        if not records:
            time.sleep(_PAUSE_S)
        self._seek(number, records[-1].offset + 1 if records else start)
        return records

    def _is_damaged(self, error: Any) -> bool:
        """Whether this is about bytes that can be looked at by other means; else it is noted."""
        if error.code() in DAMAGED:
            return True
        if error.code() not in PASSING:
            fault = translate(error, "reading", topic=self.topic, group=self._group)
            if is_fatal(fault) or error.code() == KafkaError._FATAL:
                self.fatal = fault
            self._reading.note(True, fault)
        return False


def _is_readable(record: Record) -> bool:
    """Whether librdkafka would not do better: it unpacks what the other reader does not."""
    return record.flaw is None or not any(name == CODEC and codec in _CODECS for name, codec in record.headers)
