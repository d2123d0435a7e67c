"""Sends requests on a schedule and notes when answers come back; on librdkafka, faster than what it measures."""

import gc
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, Producer

from bench.errors import AppError
from bench.load.offsets import partitions_of, watermarks
from bench.load.trace import Arrivals, IdOf, Limit, Trace, request_id
from edge.cluster import Cluster
from edge.codec import REQUEST_ID
from edge.confluent_options import connection_options
from edge.images import Images

START_TIMEOUT_S = 60.0
_LEAD_S = 0.05
_QUIET_S = 0.2
_LOOK_S = 0.02
_SLEEP_GRAIN_S = 0.0002

Headers = dict[str, str | bytes | None]
Encode = Callable[[bytes, str], tuple[bytes, Headers]]


@dataclass(frozen=True)
class Topics:
    """Where requests go and answers come from."""

    requests: str
    predictions: str


class Checked(Protocol):
    """A process, or several, that a driver sends requests to; `bench.apps.App` is one."""

    def check(self) -> None:
        """Raise EdgeError when it is no longer running."""


def with_id(value: bytes, name: str) -> tuple[bytes, Headers]:
    """A request as `edge` takes it: the image as it is, and its id in a header."""
    return value, {REQUEST_ID: name}


class Driver:
    """One sender and one receiver on a cluster, for whatever answers each record of a topic with one of another.

    The images are sent in turn. `encode` makes value and headers of a request from the bytes of one and the request's
    id; `id_of` finds that id in an answer, None when it has none. By default both use the header `request-id`.

    Use: `start()` once both topics are there, `warm_up(process, …)`, `run(…)` as often as wanted, `close()`.
    """

    def __init__(
        self,
        cluster: Cluster,
        topics: Topics,
        images: Images,
        encode: Encode = with_id,
        id_of: IdOf = request_id,
    ) -> None:
        self._topics = topics
        self._values = [image.tobytes() for image in images.image]
        self._encode = encode
        self._id_of = id_of
        options = {**connection_options(cluster), "log.connection.close": False, "socket.nagle.disable": True}
        self._producer = Producer({**options, "linger.ms": 0, "acks": "all"})
        self._consumer = Consumer({**options, "group.id": f"bench-{uuid.uuid4().hex}", "enable.auto.commit": False})
        self._failures: list[str] = []

    def start(self) -> None:
        """Place the receiver at the end of the topic of answers."""
        partitions = partitions_of(self._consumer, self._topics.predictions)
        for partition in partitions:
            _, partition.offset = watermarks(self._consumer, partition)
        self._consumer.assign(partitions)

    def warm_up(self, process: Checked, rate_per_s: float, duration_s: float) -> None:
        """Wait for a first answer, then send at `rate_per_s` for `duration_s` without measuring.

        Raises: EdgeError when none comes within START_TIMEOUT_S, or when the process has ended.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while np.isnan(self.run(np.zeros(1), grace_s=0.5).received_s[0]):
            process.check()
            if time.monotonic() > deadline:
                raise AppError(f"no prediction came within {START_TIMEOUT_S:.0f} s")
        if duration_s > 0:
            self.run(np.arange(0, duration_s, 1 / rate_per_s), grace_s=5.0)

    def run(self, schedule_s: npt.NDArray[np.float64], grace_s: float, limit: Limit | None = None) -> Trace:
        """Send one request at each time of the schedule, in seconds from the start, ascending.

        Receives until all are answered, or `grace_s` after the last. With a `limit` it stops sending as soon as the
        limit is exceeded for sure; the trace then `is_cut`.
        """
        trace = Trace(schedule_s.copy())
        requests = self._requests(trace)
        arrivals, stop = Arrivals(), threading.Event()
        with _uncollected():
            trace.intended_s += time.perf_counter() + _LEAD_S
            sender = threading.Thread(target=self._send, args=(trace, requests, stop))
            sender.start()
            try:
                self._receive(trace, arrivals, grace_s, limit, stop)
            finally:
                stop.set()
                sender.join()
            self._listen(arrivals, _QUIET_S)
        trace.assign(arrivals, self._id_of)
        self._settle(grace_s)
        return trace

    def run_single_stream(self, duration_s: float, least: int, grace_s: float) -> Trace:
        """Send the next request when the last one is answered, for `duration_s` and for at least so many requests.

        Ends with a request that is not answered within `grace_s`.
        """
        arrivals = Arrivals()
        sent_s: list[float] = []
        prefix = uuid.uuid4().hex
        with _uncollected():
            end = time.perf_counter() + duration_s
            while len(sent_s) < least or time.perf_counter() < end:
                name = f"{prefix}-{len(sent_s)}"
                request = self._encode(self._values[len(sent_s) % len(self._values)], name)
                sent_s.append(time.perf_counter())
                self._produce(*request)
                if not self._is_answered(name, arrivals, sent_s[-1] + grace_s):
                    break
            self._listen(arrivals, _QUIET_S)
        trace = Trace.of_sent(sent_s, prefix)
        trace.assign(arrivals, self._id_of)
        self._settle(grace_s)
        return trace

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _requests(self, trace: Trace) -> list[tuple[bytes, Headers]]:
        values = self._values
        return [self._encode(values[n % len(values)], trace.name(n)) for n in range(len(trace.intended_s))]

    def _send(self, trace: Trace, requests: list[tuple[bytes, Headers]], stop: threading.Event) -> None:
        for number, due in enumerate(trace.intended_s.tolist()):
            while (left := due - time.perf_counter()) > 0:
                # Sleeping overshoots by its own grain: the last part of each wait is spun, but lets the receiver run.
                time.sleep(max(0.0, left - _SLEEP_GRAIN_S))
            if stop.is_set():
                return
            trace.sent_s[number] = time.perf_counter()
            self._produce(*requests[number])

    def _produce(self, value: bytes, headers: Headers) -> None:
        while True:
            try:
                self._producer.produce(self._topics.requests, value, headers=headers, on_delivery=self._on_delivery)
            except BufferError:
                self._producer.poll(0.01)
            else:
                self._producer.poll(0)
                return

    def _on_delivery(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failures.append(str(error))

    def _settle(self, timeout_s: float) -> None:
        self._producer.flush(timeout_s)
        if self._failures:
            raise AppError(f"a request could not be sent: {self._failures[0]}")

    def _receive(
        self, trace: Trace, arrivals: Arrivals, grace_s: float, limit: Limit | None, stop: threading.Event
    ) -> None:
        """The path while it is measured: note the time and the message, and look at neither."""
        wanted, deadline, next_look = len(trace.intended_s), float(trace.intended_s[-1]) + grace_s, 0.0
        while (now := time.perf_counter()) < deadline:
            # poll returns with the first message; consume would wait for a whole batch of them.
            message = self._consumer.poll(_LOOK_S)
            if message is not None:
                arrivals.add(time.perf_counter(), message)
            if len(arrivals) >= wanted:
                # Duplicates, or answers to other runs, may have been among what was counted.
                trace.assign(arrivals, self._id_of)
                if not trace.missing and (trace.is_cut or trace.is_sent.all()):
                    return
                wanted = len(arrivals) + max(1, trace.missing)
            if limit is not None and now >= next_look:
                next_look = now + _LOOK_S
                if limit.is_exceeded(trace.intended_s, arrivals.times_s, now):
                    stop.set()
                    trace.is_cut, limit, wanted, deadline = True, None, 0, now + grace_s

    def _is_answered(self, name: str, arrivals: Arrivals, deadline: float) -> bool:
        """Receive until the answer to a request has come, or the deadline."""
        while (left := deadline - time.perf_counter()) > 0:
            message = self._consumer.poll(left)
            if message is not None:
                arrivals.add(time.perf_counter(), message)
                if message.error() is None and self._id_of(message) == name:
                    return True
        return False

    def _listen(self, arrivals: Arrivals, duration_s: float) -> None:
        """Duplicates come after the answer that ended a run, if they come."""
        quiet = time.perf_counter() + duration_s
        while (left := quiet - time.perf_counter()) > 0:
            message = self._consumer.poll(left)
            if message is not None:
                arrivals.add(time.perf_counter(), message)


@contextmanager
def _uncollected() -> Iterator[None]:
    """While it lasts, Python's collector does not stop those who read the clock."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
