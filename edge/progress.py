"""What was read and is not answered yet: a low-water mark for each partition, and the writes that move it."""

import queue
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from edge.errors import is_fatal
from edge.records import Partition, Record


class Ticket:
    """One batch of records in flight, from its reading until all that was written for them is acknowledged."""

    __slots__ = ("progresses", "unanswered", "unsettled")

    def __init__(self, records: int) -> None:
        self.unanswered = records
        self.unsettled = 0
        self.progresses: list[Progress] = []


class _Span(NamedTuple):
    """What a batch has of one partition."""

    ticket: Ticket
    next_offset: int
    records: int
    size: int


class Progress:
    """Low-water mark of one partition: all records below `low` are answered, `records` above it are in flight."""

    def __init__(self, low: int, committed: int) -> None:
        self.low = low
        self.committed = committed
        self.records = 0
        self.size = 0
        self._spans: deque[_Span] = deque()

    def add(self, ticket: Ticket, records: Sequence[Record]) -> None:
        """Note that these records were read, in order, as a part of the ticket's batch."""
        span = _Span(ticket, records[-1].offset + 1, len(records), sum([len(r.value or b"") for r in records]))
        ticket.progresses.append(self)
        self._spans.append(span)
        self.records += span.records
        self.size += span.size

    @property
    def is_awaited(self) -> bool:
        """Whether a write for some of what is in flight was started, and is not settled."""
        return any(span.ticket.unsettled for span in self._spans)

    def advance(self) -> None:
        """Move the mark up to the first batch that is not answered."""
        while self._spans and not self._spans[0].ticket.unanswered:
            span = self._spans.popleft()
            self.low = span.next_offset
            self.records -= span.records
            self.size -= span.size


class Ledger:
    """The progress of all partitions that are read; `failure` is the first write that failed since the last `restart`.

    Writes are settled on the sink's thread, and taken in by whoever calls `collect`, holding `lock`.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.failure: Exception | None = None
        self._partitions: dict[Partition, Progress] = {}
        self._settled: queue.SimpleQueue[tuple[Ticket, int, Exception | None]] = queue.SimpleQueue()
        self._last_heard = 0.0

    @property
    def silence_s(self) -> float:
        """How long nothing was heard of the records in flight; 0 when there are none."""
        return time.monotonic() - self._last_heard if self.pending() else 0.0

    @property
    def partitions(self) -> Collection[Partition]:
        """Those of which a record was read."""
        return self._partitions.keys()

    @property
    def size(self) -> int:
        """Bytes of all records in flight."""
        return sum(progress.size for progress in self._partitions.values())

    @property
    def uncommitted(self) -> int:
        """How many offsets are answered and not committed."""
        return sum(progress.low - progress.committed for progress in self._partitions.values())

    @property
    def in_flight(self) -> int:
        """How many records are read, and not known to be answered and committed."""
        return self.pending() + self.uncommitted

    def track(self, records: Sequence[Record]) -> Ticket:
        """Note a batch of records as read; its ticket goes with each write that answers some of them."""
        ticket = Ticket(len(records))
        if not self.pending():
            self._last_heard = time.monotonic()
        for partition, group in groupby(records, attrgetter("partition")):
            part = list(group)
            progress = self._partitions.get(partition)
            if progress is None:
                progress = self._partitions[partition] = Progress(part[0].offset, part[0].offset)
            progress.add(ticket, part)
        return ticket

    def is_current(self, ticket: Ticket) -> bool:
        """Whether it is still of interest: its partitions were not all given up or rewound since."""
        return any(progress in self._partitions.values() for progress in ticket.progresses)

    def written(self, ticket: Ticket, records: int, is_beside: bool = False) -> None:
        """Note that a write is started which answers so many of a ticket's records, or is beside the answers.

        `settled` tells its outcome.
        """
        ticket.unsettled += records
        if is_beside:
            ticket.unanswered += records

    def settled(self, ticket: Ticket, records: int, error: Exception | None) -> None:
        """Note, on any thread, that the write which answers so many of a ticket's records succeeded or failed."""
        self._settled.put((ticket, records, error))

    def collect(self, wait_s: float | None = None) -> None:
        """Take in settled writes, waiting up to `wait_s` for the first."""
        try:
            ticket, records, error = self._settled.get(wait_s is not None, wait_s)
            self._last_heard = time.monotonic()
            while True:
                ticket.unsettled -= records
                if error is None:
                    ticket.unanswered -= records
                    for progress in ticket.progresses:
                        progress.advance()
                elif self.is_current(ticket) and not is_fatal(self.failure):
                    self.failure = error
                ticket, records, error = self._settled.get_nowait()
        except queue.Empty:
            return

    def wait(self, partitions: Collection[Partition], deadline: float) -> None:
        """Collect until no write for `partitions` is under way, one failed, or it is `deadline`, monotonic."""
        awaited = [progress for partition, progress in self._partitions.items() if partition in partitions]
        while self.failure is None and (left := deadline - time.monotonic()) > 0:
            if not any(progress.is_awaited for progress in awaited):
                return
            self.collect(left)

    def pending(self) -> int:
        """How many records are in flight."""
        return sum(progress.records for progress in self._partitions.values())

    def due(self) -> dict[Partition, int]:
        """What may be committed and is not: the offset of the next record to read of each partition."""
        return {p: progress.low for p, progress in self._partitions.items() if progress.low != progress.committed}

    def committed(self, offsets: Iterable[tuple[Partition, int]]) -> None:
        """Note what the group's coordinator has."""
        for partition, offset in offsets:
            if partition in self._partitions:
                self._partitions[partition].committed = offset

    def forget(self, partitions: Collection[Partition]) -> None:
        """Partitions that are no longer read."""
        for partition in list(partitions):
            self._partitions.pop(partition, None)

    def restart(self) -> dict[Partition, int]:
        """Begin again from the marks, which are returned; what is in flight is no longer of interest."""
        self.failure = None
        for partition, progress in self._partitions.items():
            self._partitions[partition] = Progress(progress.low, progress.committed)
        return {partition: progress.low for partition, progress in self._partitions.items()}
