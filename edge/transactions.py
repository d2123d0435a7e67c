"""Exactly once: answers and offsets in one Kafka transaction, which a reader of committed records sees whole or never.

The pattern is consume-transform-produce of KIP-98, with the members of the group fenced as in KIP-447.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from edge.delivery import COMMIT_INTERVAL_S, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES, REVOKE_WAIT_S
from edge.errors import BrokerUnavailableError, EdgeError, FencedError, is_fatal
from edge.outage import Outage, Retry
from edge.progress import Ledger, Ticket
from edge.records import TRANSACTION_TIMEOUT_S, Encoded, Partition, Record, Source, TransactionalSink

log = logging.getLogger(__name__)

_COMMIT_WAIT_S = 0.5


class ExactlyOnce:
    """Commits answers together with the offsets of their requests, one transaction each interval.

    Exactly once: a crash in the middle leaves nothing of a transaction that a reader of committed records could see,
    and its requests are read again. The price is latency: an answer is seen when its transaction is committed.
    """

    overlaps = False

    def __init__(
        self,
        open_sink: Callable[[], TransactionalSink],
        commit_interval_s: float = COMMIT_INTERVAL_S,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_in_flight_bytes: int = MAX_IN_FLIGHT_BYTES,
    ) -> None:
        self._open_sink = open_sink
        self._sink: TransactionalSink | None = None
        self._source: Source | None = None
        self._interval_s = commit_interval_s
        self._max_in_flight = max_in_flight
        self._max_bytes = max_in_flight_bytes
        self._ledger = Ledger()
        self._outage = Outage("transactions fail and will be repeated", "transactions go on")
        self._began: float | None = None
        self._commit: _Commit | None = None
        self._retry = Retry()
        self._reopen()
        if self._sink is not None:
            self._retry.succeeded()

    def attach(self, source: Source) -> None:
        """Name the source whose offsets are committed."""
        self._source = source

    @property
    def is_full(self) -> bool:
        """Whether so much is in flight, or a commit due so long, that nothing more should be read."""
        with self._ledger.lock:
            return (
                self._sink is None
                or self._is_due
                or self._ledger.pending() >= self._max_in_flight
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
        if self._began is None:
            return 1.0 if self._sink is not None else 0.05
        return min(max(0.0, self._began + self._interval_s - time.monotonic()), 0.05)

    def track(self, records: Sequence[Record]) -> Ticket:
        """Note a batch of records as read; its ticket goes with each `write` that answers some of them."""
        with self._ledger.lock:
            return self._ledger.track(records)

    def write(self, ticket: Ticket, topic: str, answers: Sequence[Encoded], is_beside: bool = False) -> None:
        """Write what answers so many of a batch's records, in the open transaction or in a new one."""
        with self._ledger.lock:
            on_done = partial(self._ledger.settled, ticket, len(answers))
            self._ledger.written(ticket, len(answers), is_beside)
            self._ledger.collect()
            failure = self._ledger.failure or self._begin()
            if failure is not None or self._sink is None:
                on_done(failure or BrokerUnavailableError("there is no producer"))
            else:
                self._sink.write_all(topic, answers, on_done)

    def settle(self) -> None:
        """Commit when that is due, and begin again after a failure from what is committed.

        Raises: FencedError when another process has this one's name, EdgeError for what no repetition mends.
        """
        with self._ledger.lock:
            self._ledger.collect()
            if self._ledger.failure is None and self._is_due:
                self._finish(_COMMIT_WAIT_S)
            if self._ledger.failure is not None:
                self._start_again(self._ledger.failure)
        if self._sink is None and self._retry.is_due:
            self._reopen()

    def on_revoked(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Commit the open transaction and forget the partitions; nothing is left to commit outside of it.

        What cannot be committed in a moment is given up: the next owner reads it again.
        """
        with self._ledger.lock:
            if self._began is not None and self._ledger.failure is None:
                self._finish(REVOKE_WAIT_S)
                if self._began is not None and self._ledger.failure is None:
                    self._ledger.failure = BrokerUnavailableError("partitions were revoked in a transaction")
            self._ledger.forget(partitions)
        return {}

    def drain(self, timeout_s: float) -> int:
        """Commit the open transaction; returns how many records were not answered in a committed one."""
        with self._ledger.lock:
            if self._began is not None and self._ledger.failure is None:
                self._finish(timeout_s)
            if self._ledger.failure is not None:
                log.warning("the last transaction could not be committed (%s)", self._ledger.failure)
            return self._ledger.in_flight

    def close(self) -> None:
        """Let go of the sink; the broker ends a transaction that is still open."""
        if self._sink is not None:
            self._sink.close(1.0)

    def _begin(self) -> Exception | None:
        if self._sink is not None and self._began is None:
            try:
                self._sink.begin()
            except EdgeError as error:
                return error
            self._began = time.monotonic()
        return None

    def _finish(self, wait_s: float) -> None:
        """Start to commit unless that was done, and wait a while for the outcome, which may also come later."""
        deadline = time.monotonic() + wait_s
        if self._commit is None:
            # All writes are known to have succeeded before their offsets enter the transaction.
            self._ledger.wait(self._ledger.partitions, deadline)
            if self._ledger.failure is None and not self._ledger.pending():
                self._commit = self._start_commit()
        if self._commit is not None and self._commit.is_done.wait(max(0.0, deadline - time.monotonic())):
            self._take_in(self._commit)
        elif self._is_late:
            self._ledger.failure = BrokerUnavailableError(f"a transaction took {TRANSACTION_TIMEOUT_S:.0f} s")

    @property
    def _is_due(self) -> bool:
        return self._began is not None and time.monotonic() >= self._began + self._interval_s

    @property
    def _is_late(self) -> bool:
        return self._began is not None and time.monotonic() - self._began > TRANSACTION_TIMEOUT_S

    def _start_commit(self) -> "_Commit":
        commit = _Commit(self._ledger.due())
        if self._sink is not None and self._source is not None:
            self._sink.commit(commit.offsets, self._source.membership, commit.settled)
        return commit

    def _take_in(self, commit: "_Commit") -> None:
        self._commit = None
        if commit.error is None:
            self._began = None
            self._ledger.committed(commit.offsets.items())
            self._outage.note(False)
            self._retry.succeeded()
        else:
            self._ledger.failure = commit.error

    def _start_again(self, failure: Exception) -> None:
        # The broker itself ends, and fences, what took too long; that is no other process's doing.
        if is_fatal(failure) and not (isinstance(failure, FencedError) and self._is_late):
            raise failure
        log.debug("a transaction is given up (%s): what was in it is answered again", failure)
        self._outage.note(True, failure)
        if self._sink is not None:
            self._sink.close(0.0)
        self._sink, self._began, self._commit = None, None, None
        self._ledger.restart()
        self._ledger.forget(self._ledger.partitions)

    def _reopen(self) -> None:
        """A new sink ends the old one's transaction; only then is it known what is committed.

        Raises: FencedError when another process has this one's name.
        """
        sink: TransactionalSink | None = None
        try:
            if self._source is not None:
                # A new sink would fence the process that has taken this one's place while it was asleep.
                self._source.check_place()
            sink = self._open_sink()
            if self._source is not None:
                self._source.rewind_to_committed()
        except BrokerUnavailableError as error:
            self._outage.note(True, error)
            self._retry.failed()
            if sink is not None:
                sink.close(0.0)
        else:
            self._sink = sink
            # Only a commit is a success: what is written next may be refused at once, again and again.
            self._retry.failed()


class _Commit:
    """A commit under way; it is settled on another thread."""

    def __init__(self, offsets: dict[Partition, int]) -> None:
        self.offsets = offsets
        self.error: Exception | None = None
        self.is_done = threading.Event()

    def settled(self, error: Exception | None) -> None:
        """Note the outcome."""
        self.error = error
        self.is_done.set()
