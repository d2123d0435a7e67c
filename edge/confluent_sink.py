"""librdkafka's producers behind the protocols of `records`."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException

from edge.confluent_commits import kafka_offsets
from edge.confluent_errors import CLIENT_ERRORS, translate
from edge.errors import BrokerUnavailableError, EdgeError, is_fatal
from edge.records import TRANSACTION_TIMEOUT_S, Encoded, Headers, OnDone, Partition

log = logging.getLogger(__name__)

_UNHEARD_WRITES = 64
"""After so many writes it is looked for acknowledgements."""
_GRACE_S, _WAIT_S, _FLUSH_S = 0.005, 0.05, 0.001
_FULL_S = 10.0
"""How long a write waits for room in the queue."""


class ConfluentSink:
    """An idempotent producer; librdkafka retries by itself for two minutes, then a write fails.

    Acknowledgements are taken in by whoever calls `serve`, and by a thread of its own while nobody does: it would
    otherwise fight for the interpreter with a loop that has work to do.
    """

    def __init__(self, producer: Any, on_closed: Callable[["ConfluentSink"], None]) -> None:
        self._producer = producer
        self._on_closed = on_closed
        self._is_closed = False
        self._is_waiting = threading.Event()
        self._polling = threading.Lock()
        self._served = 0.0
        self._unheard = 0
        self._attendant = threading.Thread(
            target=self._attend, args=(producer,), name="confluent-producer", daemon=True
        )
        self._attendant.start()

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        """Start to write one record; `on_done` is called by `serve`, by a later write, or on the sink's thread."""
        self.write_all(topic, [Encoded(key, value, headers)], on_done)

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        """Start to write records; `on_done` is called once, as that of `write`."""
        settled = _Batch(len(batch), topic, on_done).settled
        for key, value, headers in batch:
            try:
                self._produce(topic, value, key, headers if type(headers) is list else list(headers), settled)
            except (EdgeError, *CLIENT_ERRORS) as error:
                settled(error, None)
        self._unheard += len(batch)
        if self._unheard >= _UNHEARD_WRITES:
            self.serve()
        if not self._is_waiting.is_set():
            self._is_waiting.set()

    def serve(self, wait_s: float = 0.0) -> None:
        """Take in acknowledgements, waiting up to `wait_s` for the first, unless the sink's thread is at it."""
        if self._polling.acquire(blocking=False):
            try:
                self._unheard, self._served = 0, time.monotonic()
                _poll(self._producer, wait_s)
            finally:
                self._polling.release()
        elif wait_s > 0:
            time.sleep(wait_s)

    def hurry(self) -> None:
        """Send at once what lingers, and take in acknowledgements for a moment."""
        if len(self._producer) and self._polling.acquire(blocking=False):
            try:
                self._unheard, self._served = 0, time.monotonic()
                _flush(self._producer)
            finally:
                self._polling.release()

    def close(self, timeout_s: float) -> None:
        """Settle what can be settled in time; what is left is not written any more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._on_closed(self)
        with self._polling:
            # One that is fenced or has failed for good raises: each write has heard of it, or does so here.
            with contextlib.suppress(*CLIENT_ERRORS):
                self._producer.flush(timeout_s)
            with contextlib.suppress(*CLIENT_ERRORS):
                self._producer.purge()
            _poll(self._producer, 0)
            self._producer = None
        self._is_waiting.set()

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, headers: list[Any], settled: Any) -> None:
        try:
            self._producer.produce(topic, value, key, headers=headers, on_delivery=settled)
        except BufferError:
            self._wait_for_room()
            self._producer.produce(topic, value, key, headers=headers, on_delivery=settled)

    def _wait_for_room(self) -> None:
        count, deadline = len(self._producer), time.monotonic() + _FULL_S
        while len(self._producer) >= count:
            if time.monotonic() >= deadline:
                raise BrokerUnavailableError(f"none of {count} records was acknowledged in {_FULL_S:.0f} s")
            self.serve(_WAIT_S)

    def _attend(self, producer: Any) -> None:
        """Runs on the sink's thread, which also lets go of the producer: that can take a while."""
        while not self._is_closed:
            self._is_waiting.wait()
            left_s = self._served + _GRACE_S - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)
                continue
            # Cleared first: a write that comes meanwhile sets it again.
            self._is_waiting.clear()
            with self._polling:
                _flush(producer)
                _poll(producer, _WAIT_S if len(producer) else 0.0)
            if len(producer):
                self._is_waiting.set()


class ConfluentTransactionalSink(ConfluentSink):
    """A producer with a transactional id; the broker fences an earlier one of the same id."""

    def start(self, timeout_s: float) -> None:
        """End, and fence, what an earlier producer of the same name left open; raises what librdkafka raises."""
        self._producer.init_transactions(timeout_s)

    def begin(self) -> None:
        """Start a transaction; raises EdgeError when the producer is fenced or has failed."""
        try:
            self._producer.begin_transaction()
        except CLIENT_ERRORS as error:
            raise translate(error, "starting a transaction") from error

    def commit(self, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
        """Start to commit, on a thread of its own, which ends when the transaction would be given up anyway."""
        arguments = (self._producer, offsets, membership, on_done)
        threading.Thread(target=_commit, args=arguments, name="confluent-commit", daemon=True).start()


def _commit(producer: Any, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
    deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
    try:
        if offsets:
            producer.send_offsets_to_transaction(kafka_offsets(offsets), membership, TRANSACTION_TIMEOUT_S)
        producer.commit_transaction(max(0.1, deadline - time.monotonic()))
    except CLIENT_ERRORS as error:
        on_done(translate(error, "committing a transaction"))
    else:
        on_done(None)


def _poll(producer: Any, wait_s: float) -> None:
    try:
        producer.poll(wait_s)
    except KafkaException as error:
        # What it could not write says so, too, and what it is asked to do next.
        log.debug("a producer has failed for good (%s)", error)


def _flush(producer: Any) -> None:
    # One that has failed for good raises: each write hears of it by itself.
    with contextlib.suppress(*CLIENT_ERRORS):
        producer.flush(_FLUSH_S)


class _Batch:
    """One `on_done` for so many writes; whoever polls the producer is alone with it."""

    __slots__ = ("_error", "_left", "_on_done", "_topic")

    def __init__(self, writes: int, topic: str, on_done: OnDone) -> None:
        self._left = writes
        self._error: EdgeError | None = None
        self._topic = topic
        self._on_done = on_done

    def settled(self, error: Any, _: Any) -> None:
        """One of them is settled."""
        if error is not None and not is_fatal(self._error):
            self._error = translate(error, f"writing to {self._topic!r}", topic=self._topic)
        self._left -= 1
        if not self._left:
            self._on_done(self._error)
