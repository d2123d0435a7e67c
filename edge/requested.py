"""Finds the requests of predictions: reads the request topic beside them, and remembers what it has read."""

import threading
import time
from collections.abc import Collection
from types import TracebackType
from typing import NamedTuple, Self

from edge.codec import REQUEST_ID, default_id, header
from edge.letter import record_bytes
from edge.pubsub import COMMIT_INTERVAL_S, READ_LIMIT
from edge.records import Client, Partition, Record

MAX_BYTES = 64 * 1024 * 1024
"""What the requests may hold that wait for their predictions: the oldest are forgotten first."""
JOIN_S = 10.0
"""How long the group may take to give out its partitions."""
CATCH_UP_S = 1.0
"""How long it is read on for one prediction."""
PATIENCE_S = 0.2
"""How long a request may take to come in. It was written before its prediction, so it is there or gone."""
LOST_S = 5.0
"""So long after it was read, and overtaken by others of its partition, a request counts as unanswered."""
_OVERHEAD_BYTES = 512


class _Waiting(NamedTuple):
    record: Record
    size: int
    since: float


class Requests:
    """Requests by their ids; `unanswered` are those that others of their partition have overtaken for LOST_S.

    They are read no further than predictions ask for. The group keeps the place behind the last one that was found, so
    that a later start need not read all again.
    """

    def __init__(self, client: Client, topic: str, group: str, stop: threading.Event) -> None:
        self.unanswered = 0
        self._stop = stop
        self._waiting: dict[str, _Waiting] = {}
        self._bytes = 0
        self._forgotten = 0
        self._first: dict[Partition, int] = {}
        self._found: dict[Partition, int] = {}
        self._join_s = JOIN_S
        self._last_miss = self._next_commit = self._next_count = 0.0
        self._source = client.open_source(topic, group, self._on_revoked)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._found:
            self._source.commit_now(self._found, 5.0)
        self._source.close()

    def find(self, request_id: str) -> Record | None:
        """The request of that id, which is forgotten then; None when it is not there, or not any more.

        Raises: EdgeError when the topic cannot be read.
        """
        deadline = time.monotonic() + CATCH_UP_S
        while request_id not in self._waiting:
            if not (self._read_on() and time.monotonic() < deadline) or self._stop.is_set():
                self._last_miss = time.monotonic()
                return None
        found, _, _ = self._forget(request_id)
        self._first.setdefault(found.partition, found.offset)
        self._found[found.partition] = max(self._found.get(found.partition, 0), found.offset + 1)
        self._commit()
        self._count()
        return found

    def _read_on(self) -> bool:
        """Whether there were more requests."""
        # One miss may follow another: looking for what is gone takes no more time than all the rest.
        patience_s = min(PATIENCE_S, (time.monotonic() - self._last_miss) / 2)
        records = self._source.read(READ_LIMIT, patience_s)
        deadline = time.monotonic() + self._join_s
        while not records and not self._source.lag and not self._stop.is_set():
            if time.monotonic() > deadline:
                # Others of the group have all partitions: it is not waited for them again.
                self._join_s = 0.0
                break
            records = self._source.read(READ_LIMIT, PATIENCE_S)
        for record in records:
            self._remember(record)
        return bool(records)

    def _remember(self, record: Record) -> None:
        name = header(record, REQUEST_ID) or default_id(record)
        if name in self._waiting:
            self._forget(name)
        size = record_bytes(record.key, record.value, record.headers) + _OVERHEAD_BYTES
        self._waiting[name] = _Waiting(record, size, time.monotonic())
        self._bytes += size
        while self._bytes > MAX_BYTES:
            oldest = next(iter(self._waiting))
            self._forgotten += self._is_overtaken(self._forget(oldest).record)

    def _forget(self, name: str) -> _Waiting:
        waiting = self._waiting.pop(name)
        self._bytes -= waiting.size
        return waiting

    def _is_overtaken(self, record: Record) -> bool:
        # What is older than the first one that was found may have been answered before anybody looked.
        place = record.partition
        return place in self._first and self._first[place] < record.offset < self._found[place]

    def _count(self) -> None:
        now = time.monotonic()
        if now < self._next_count:
            return
        self._next_count = now + 1.0
        old = (each.record for each in self._waiting.values() if each.since < now - LOST_S)
        self.unanswered = self._forgotten + sum(map(self._is_overtaken, old))

    def _commit(self) -> None:
        if time.monotonic() >= self._next_commit:
            self._next_commit = time.monotonic() + COMMIT_INTERVAL_S
            # As with a subscription: one that fails is made good by the next, or by the last.
            self._source.commit(dict(self._found), lambda _: None)

    def _on_revoked(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        for partition in partitions:
            self._first.pop(partition, None)
        return {p: self._found.pop(p) for p in partitions if p in self._found}
