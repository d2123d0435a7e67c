"""What was read and is not answered yet: a low-water mark for each partition, and the writes that move it."""

import queue
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edge.errors import is_fatal
from edge.records import Partition, Record


@dataclass(slots=True)
class Ticket:
    """One record in flight, from its reading until all that was written for it is acknowledged."""

    progress: "Progress"
    offset: int
    size: int
    done: bool = False


class Progress:
    """Low-water mark of one partition: all records below `low` are answered, `pending` holds the rest in order."""

    def __init__(self, low: int, committed: int) -> None:
        self.low = low
        self.committed = committed
        self.size = 0
        self.pending: deque[Ticket] = deque()

    def add(self, offset: int, size: int) -> Ticket:
        """Note that the record at `offset`, of `size` bytes, was read."""
        ticket = Ticket(self, offset, size)
        self.pending.append(ticket)
        self.size += size
        return ticket

    def finish(self, ticket: Ticket) -> None:
        """Note that a record was answered, and move the mark up to the first one that was not."""
        ticket.done = True
        while self.pending and self.pending[0].done:
            first = self.pending.popleft()
            self.low = first.offset + 1
            self.size -= first.size


class Ledger:
    """The progress of all partitions that are read; `failure` is the first write that failed since the last `restart`.

    Writes are settled on the sink's thread, and taken in by whoever calls `collect`, holding `lock`.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.failure: Exception | None = None
        self._partitions: dict[Partition, Progress] = {}
        self._settled: queue.SimpleQueue[tuple[Ticket, Exception | None]] = queue.SimpleQueue()
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

    def track(self, records: Iterable[Record]) -> list[Ticket]:
        """Note records as read; each ticket goes to one write."""
        tickets = []
        if not self.pending():
            self._last_heard = time.monotonic()
        for record in records:
            progress = self._partitions.get(record.partition)
            if progress is None:
                progress = self._partitions[record.partition] = Progress(record.offset, record.offset)
            tickets.append(progress.add(record.offset, len(record.value or b"")))
        return tickets

    def settled(self, ticket: Ticket, error: Exception | None) -> None:
        """Note, on any thread, that the write for a ticket was acknowledged or failed."""
        self._settled.put((ticket, error))

    def collect(self, wait_s: float | None = None) -> None:
        """Take in settled writes, waiting up to `wait_s` for the first."""
        try:
            ticket, error = self._settled.get(wait_s is not None, wait_s)
            self._last_heard = time.monotonic()
            while True:
                if error is None:
                    ticket.progress.finish(ticket)
                # A ticket of a partition that was given up or rewound since is no longer of interest.
                elif ticket.progress in self._partitions.values() and not is_fatal(self.failure):
                    self.failure = error
                ticket, error = self._settled.get_nowait()
        except queue.Empty:
            return

    def wait(self, partitions: Collection[Partition], deadline: float) -> None:
        """Collect until nothing of `partitions` is in flight, something failed, or it is `deadline`, monotonic."""
        while self.pending(partitions) and self.failure is None and (left := deadline - time.monotonic()) > 0:
            self.collect(left)

    def pending(self, partitions: Collection[Partition] | None = None) -> int:
        """How many records are in flight."""
        return sum(
            len(progress.pending) for p, progress in self._partitions.items() if partitions is None or p in partitions
        )

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
