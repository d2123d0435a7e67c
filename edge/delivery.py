"""At least once: what may be committed, and what to do again when a write fails."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

from edge.codec import Encoded
from edge.errors import BrokerUnavailableError, EdgeError
from edge.records import Partition, Record, Sink, Source

log = logging.getLogger(__name__)

REVOKE_WAIT_S = 1.0
RETRY_S = 0.5


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


class Delivery:
    """Ties one source to one sink: an offset is committed only after every write up to it is acknowledged.

    At least once: after a crash, at most the records since the last commit and those in flight are answered again.
    Neither reading nor writing waits for acknowledgements or commits.
    """

    def __init__(
        self,
        open_sink: Callable[[], Sink],
        commit_interval_s: float = 0.2,
        max_in_flight: int = 10_000,
        max_in_flight_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._open_sink = open_sink
        self._sink: Sink | None = open_sink()
        self._source: Source | None = None
        self._interval_s = commit_interval_s
        self._max_in_flight = max_in_flight
        self._max_bytes = max_in_flight_bytes
        self._partitions: dict[Partition, Progress] = {}
        # Writes are settled on the sink's thread, and partitions are revoked on the source's.
        self._settled: queue.SimpleQueue[tuple[Ticket, Exception | None]] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._failure: Exception | None = None
        self._is_committing = False
        self._is_commit_failing = False
        self._next_commit = 0.0
        self._next_retry = 0.0

    def attach(self, source: Source) -> None:
        """Name the source whose offsets are committed."""
        self._source = source

    @property
    def is_full(self) -> bool:
        """Whether so much is in flight that nothing more should be read."""
        with self._lock:
            return (
                self._sink is None
                or self._pending(self._partitions) >= self._max_in_flight
                or sum(p.size for p in self._partitions.values()) >= self._max_bytes
            )

    @property
    def patience_s(self) -> float:
        """How long reading may wait before `settle` is due."""
        with self._lock:
            is_idle = self._sink is not None and not self._pending(self._partitions) and not self._due()
        return 1.0 if is_idle else min(self._interval_s, 0.05)

    def track(self, records: Iterable[Record]) -> list[Ticket]:
        """Note records as read; each ticket goes to one `write`."""
        tickets = []
        with self._lock:
            for record in records:
                progress = self._partitions.get(record.partition)
                if progress is None:
                    progress = self._partitions[record.partition] = Progress(record.offset, record.offset)
                tickets.append(progress.add(record.offset, len(record.value or b"")))
        return tickets

    def write(self, ticket: Ticket, topic: str, encoded: Encoded) -> None:
        """Start to write what answers a record; its offset may be committed once that is acknowledged."""
        on_done = partial(self._on_done, ticket)
        with self._lock:
            self._collect(None)
        # After a failure each write may block as long as the first one did, and all are done again anyway.
        if self._sink is None or self._failure is not None:
            on_done(self._failure or BrokerUnavailableError("there is no producer"))
        else:
            self._sink.write(topic, encoded.value, encoded.key, encoded.headers, on_done)

    def settle(self) -> None:
        """Take in what was acknowledged, commit when that is due, and start again what failed.

        Raises: EdgeError when a write failed for a reason that no repetition mends.
        """
        with self._lock:
            self._collect(None)
            if self._failure is not None:
                self._start_again(self._failure)
            due = {} if self._is_committing or time.monotonic() < self._next_commit else self._due()
        if due and self._source is not None:
            self._is_committing = True
            self._next_commit = time.monotonic() + self._interval_s
            self._source.commit(due, partial(self._on_committed, due))
        if self._sink is None and time.monotonic() >= self._next_retry:
            self._reopen()

    def drain(self, timeout_s: float) -> int:
        """Wait for what is in flight and commit it; returns how many records were still unanswered."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            self._await(self._partitions, deadline)
            due, pending = self._due(), self._pending(self._partitions)
        if due and self._source is not None:
            self._source.commit_now(due, max(1.0, deadline - time.monotonic()))
        return pending

    def close(self) -> None:
        """Let go of the sink."""
        if self._sink is not None:
            self._sink.close(1.0)

    def on_revoked(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Wait a moment for what is in flight, forget the partitions, and say what to commit for them."""
        with self._lock:
            self._await(partitions, time.monotonic() + REVOKE_WAIT_S)
            due = {p: offset for p, offset in self._due().items() if p in partitions}
            for partition in partitions:
                self._partitions.pop(partition, None)
        return due

    def _on_done(self, ticket: Ticket, error: Exception | None) -> None:
        self._settled.put((ticket, error))

    def _on_committed(self, offsets: dict[Partition, int], error: Exception | None) -> None:
        with self._lock:
            self._is_committing = False
            if (error is not None) != self._is_commit_failing:
                self._is_commit_failing = error is not None
                log.info("commits go on" if error is None else f"commits fail and will be repeated ({error})")
            if error is not None:
                return
            for partition, offset in offsets.items():
                if partition in self._partitions:
                    self._partitions[partition].committed = offset

    def _await(self, partitions: Collection[Partition], deadline: float) -> None:
        while self._pending(partitions) and self._failure is None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._collect(left)

    def _collect(self, wait_s: float | None) -> None:
        """Take in settled writes, waiting up to `wait_s` for the first."""
        try:
            ticket, error = self._settled.get(wait_s is not None, wait_s)
            while True:
                if error is None:
                    ticket.progress.finish(ticket)
                # A ticket of a partition that was given up or rewound since is no longer of interest.
                elif ticket.progress in self._partitions.values() and not _is_fatal(self._failure):
                    self._failure = error
                ticket, error = self._settled.get_nowait()
        except queue.Empty:
            return

    def _start_again(self, failure: Exception) -> None:
        if _is_fatal(failure):
            raise failure
        log.warning("a write failed (%s): a new producer goes on from the last acknowledged record", failure)
        self._failure = None
        if self._sink is not None:
            self._sink.close(0.0)
            self._sink = None
        marks = {partition: progress.low for partition, progress in self._partitions.items()}
        for partition, progress in self._partitions.items():
            self._partitions[partition] = Progress(progress.low, progress.committed)
        if self._source is not None:
            self._source.rewind(marks)

    def _reopen(self) -> None:
        try:
            self._sink = self._open_sink()
        except BrokerUnavailableError as error:
            log.debug("no new producer yet (%s)", error)
            self._next_retry = time.monotonic() + RETRY_S

    def _pending(self, partitions: Collection[Partition]) -> int:
        return sum(len(progress.pending) for p, progress in self._partitions.items() if p in partitions)

    def _due(self) -> dict[Partition, int]:
        return {p: progress.low for p, progress in self._partitions.items() if progress.low != progress.committed}


def _is_fatal(error: Exception | None) -> bool:
    return isinstance(error, EdgeError) and not isinstance(error, BrokerUnavailableError)
