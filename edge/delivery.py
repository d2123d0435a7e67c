"""At least once: what may be committed, and what to do again when a write fails."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol

from edge.errors import BrokerUnavailableError, is_fatal
from edge.outage import Outage, Retry
from edge.progress import Ledger, Ticket
from edge.records import Encoded, Partition, Record, Sink, Source

log = logging.getLogger(__name__)

REVOKE_WAIT_S = 1.0
STALL_S = 5.0
COMMIT_INTERVAL_S = 0.05
MAX_IN_FLIGHT = 2_000
"""Most records that are read and not committed: what a crash can repeat at worst."""
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
MAX_UNCOMMITTED = 100
"""So many answered records are committed without waiting for the interval: what a crash repeats as a rule."""
MAX_UNHEARD = 10 * MAX_UNCOMMITTED
"""With so many answered and not known to be committed nothing more is read: commits are slow on a busy machine."""


class Delivery(Protocol):
    """A guarantee: ties one source to one sink, and commits what was answered."""

    def attach(self, source: Source) -> None:
        """Name the source whose offsets are committed."""

    @property
    def overlaps(self) -> bool:
        """Whether more may be read while a batch that was read is not yet written."""

    @property
    def is_full(self) -> bool:
        """Whether so much is in flight that nothing more should be read."""

    @property
    def in_flight(self) -> int:
        """How many records are read, and not known to be answered and committed."""

    @property
    def patience_s(self) -> float:
        """How long reading may wait before `settle` is due."""

    def track(self, records: Sequence[Record]) -> Ticket:
        """Note a batch of records as read; its ticket goes with each `write` that answers some of them."""

    def write(self, ticket: Ticket, topic: str, answers: Sequence[Encoded], is_beside: bool = False) -> None:
        """Start to write what answers so many of a batch's records; those may be committed once it is acknowledged.

        What `is_beside` them answers none, and is written before the answers, which are committed only with it.
        """

    def settle(self) -> None:
        """Take in what was acknowledged, commit when that is due, and start again what failed.

        Raises: EdgeError for what no repetition mends.
        """

    def on_revoked(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Wait a moment for what is in flight, forget the partitions, and say what to commit for them."""

    def drain(self, timeout_s: float) -> int:
        """Wait for what is in flight and commit it; returns how many records were still unanswered."""

    def close(self) -> None:
        """Let go of the sink."""


class AtLeastOnce:
    """Commits an offset only after every write up to it is acknowledged.

    At least once: after a crash, at most the records since the last commit and those in flight are answered again.
    Neither reading nor writing waits for acknowledgements or commits.
    """

    overlaps = True

    def __init__(
        self,
        open_sink: Callable[[], Sink],
        commit_interval_s: float = COMMIT_INTERVAL_S,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_in_flight_bytes: int = MAX_IN_FLIGHT_BYTES,
    ) -> None:
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._source: Source | None = None
        self._interval_s = commit_interval_s
        self._max_in_flight = max_in_flight
        self._max_bytes = max_in_flight_bytes
        self._ledger = Ledger()
        self._commits = Outage("commits fail and will be repeated", "commits go on")
        self._writes = Outage("answers cannot be written, trying again", "answers are written again")
        self._committing_since: float | None = None
        self._next_commit = 0.0
        self._retry = Retry()
        self._reopen()
        if self._sink is not None:
            self._retry.succeeded()

    def attach(self, source: Source) -> None:
        """Name the source whose offsets are committed."""
        self._source = source

    @property
    def is_full(self) -> bool:
        """Whether so much is in flight that nothing more should be read."""
        with self._ledger.lock:
            return (
                self._sink is None
                or self._ledger.uncommitted >= MAX_UNHEARD
                or self._ledger.in_flight >= self._max_in_flight
                or self._ledger.size >= self._max_bytes
            )

    @property
    def in_flight(self) -> int:
        """How many records are read, and not known to be answered and committed."""
        with self._ledger.lock:
            return self._ledger.in_flight

    @property
    def patience_s(self) -> float:
        """How long reading may wait before `settle` is due."""
        with self._ledger.lock:
            is_idle = self._sink is not None and not self._ledger.pending() and not self._ledger.due()
        return 1.0 if is_idle else min(self._interval_s, 0.05)

    def track(self, records: Sequence[Record]) -> Ticket:
        """Note a batch of records as read; its ticket goes with each `write` that answers some of them."""
        with self._ledger.lock:
            return self._ledger.track(records)

    def write(self, ticket: Ticket, topic: str, answers: Sequence[Encoded], is_beside: bool = False) -> None:
        """Start to write what answers so many of a batch's records; those may be committed once it is acknowledged."""
        on_done = partial(self._ledger.settled, ticket, len(answers))
        with self._ledger.lock:
            self._ledger.collect()
            if not self._ledger.is_current(ticket):
                # Read before the last failure: it is read again, and answered in its turn.
                return
            self._ledger.written(ticket, len(answers), is_beside)
        # After a failure each write may block as long as the first one did, and all are done again anyway.
        if self._sink is None or self._ledger.failure is not None:
            on_done(self._ledger.failure or BrokerUnavailableError("there is no producer"))
        else:
            self._sink.write_all(topic, answers, on_done)

    def settle(self) -> None:
        """Take in what was acknowledged, commit when that is due, and start again what failed.

        Raises: EdgeError when a write failed for a reason that no repetition mends.
        """
        with self._ledger.lock:
            self._ledger.collect()
            if self._ledger.failure is not None:
                self._start_again(self._ledger.failure)
            if self._ledger.silence_s > STALL_S:
                self._writes.note(True, "no acknowledgement")
            is_due = time.monotonic() >= self._next_commit or self._ledger.uncommitted >= MAX_UNCOMMITTED
            due = self._ledger.due() if is_due and self._committing_since is None else {}
            if self._committing_since is not None and time.monotonic() - self._committing_since > STALL_S:
                self._commits.note(True, "no answer")
        if due and self._source is not None:
            self._committing_since = time.monotonic()
            self._next_commit = self._committing_since + self._interval_s
            self._source.commit(due, partial(self._on_committed, due))
        if self._sink is None and self._retry.is_due:
            self._reopen()

    def drain(self, timeout_s: float) -> int:
        """Wait for what is in flight and commit it; returns how many records were still unanswered."""
        deadline = time.monotonic() + timeout_s
        with self._ledger.lock:
            self._ledger.wait(self._ledger.partitions, deadline)
            due, pending, failure = self._ledger.due(), self._ledger.pending(), self._ledger.failure
        if failure is not None:
            log.warning("the last answers could not be written (%s)", failure)
        if due and self._source is not None:
            self._source.commit_now(due, max(1.0, deadline - time.monotonic()))
        return pending

    def close(self) -> None:
        """Let go of the sink."""
        if self._sink is not None:
            self._sink.close(1.0)

    def on_revoked(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Wait a moment for what is in flight, forget the partitions, and say what to commit for them."""
        with self._ledger.lock:
            self._ledger.wait(partitions, time.monotonic() + REVOKE_WAIT_S)
            due = {p: offset for p, offset in self._ledger.due().items() if p in partitions}
            self._ledger.forget(partitions)
        return due

    def _on_committed(self, offsets: dict[Partition, int], error: Exception | None) -> None:
        with self._ledger.lock:
            self._committing_since = None
            self._commits.note(error is not None, error)
            if error is None:
                self._ledger.committed(offsets.items())
                self._writes.note(False)
                self._retry.succeeded()

    def _start_again(self, failure: Exception) -> None:
        if is_fatal(failure):
            raise failure
        log.debug("a write failed (%s): a new producer goes on from the last acknowledged record", failure)
        self._writes.note(True, failure)
        if self._sink is not None:
            self._sink.close(0.0)
            self._sink = None
        marks = self._ledger.restart()
        if self._source is not None:
            self._source.rewind(marks)

    def _reopen(self) -> None:
        try:
            self._sink = self._open_sink()
        except BrokerUnavailableError as error:
            log.debug("no new producer yet (%s)", error)
        # Only a commit is a success: what a new producer writes may be refused at once, again and again.
        self._retry.failed()
