"""Sends requests on a schedule and notes when predictions come back; on librdkafka, faster than what it measures."""

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.apps import App
from bench.errors import AppError
from edge.cluster import Cluster
from edge.codec import REQUEST_ID
from edge.confluent_options import connection_options
from edge.images import Images

START_TIMEOUT_S = 60.0
_SPIN_S = 0.001


@dataclass(frozen=True)
class Topics:
    """Where requests go and predictions come from."""

    requests: str
    predictions: str


@dataclass
class Trace:
    """What happened to each request; times in seconds on the driver's clock, NaN where nothing did.

    All arrays are [requests], in the order of the schedule.
    """

    intended_s: npt.NDArray[np.float64]
    sent_s: npt.NDArray[np.float64] = field(init=False)
    received_s: npt.NDArray[np.float64] = field(init=False)
    answers: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.sent_s = np.full(len(self.intended_s), np.nan)
        self.received_s = np.full(len(self.intended_s), np.nan)
        self.answers = np.zeros(len(self.intended_s), np.int64)


class Driver:
    """One sender and one receiver on a cluster; a run's requests are told apart from all others by their ids."""

    def __init__(self, cluster: Cluster, topics: Topics, images: Images) -> None:
        self._topics = topics
        self._values = [image.tobytes() for image in images.image]
        options = {**connection_options(cluster), "log.connection.close": False}
        self._producer = Producer({**options, "linger.ms": 0, "acks": "all"})
        self._consumer = Consumer({**options, "group.id": f"bench-{uuid.uuid4().hex}", "fetch.wait.max.ms": 10})
        self._failures: list[str] = []

    def start(self) -> None:
        """Place the receiver at the end of the topic of predictions."""
        metadata = self._consumer.list_topics(self._topics.predictions, START_TIMEOUT_S)
        partitions = [
            TopicPartition(self._topics.predictions, number)
            for number in metadata.topics[self._topics.predictions].partitions
        ]
        for partition in partitions:
            _, partition.offset = self._consumer.get_watermark_offsets(partition, START_TIMEOUT_S)
        self._consumer.assign(partitions)

    def warm_up(self, classifier: App, rate_per_s: float, duration_s: float) -> None:
        """Wait for a first prediction, then send at the rate of the run for `duration_s` without measuring."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while np.isnan(self.run(np.zeros(1), grace_s=0.5).received_s[0]):
            classifier.check()
            if time.monotonic() > deadline:
                raise AppError(f"no prediction came within {START_TIMEOUT_S:.0f} s")
        if duration_s > 0:
            self.run(np.arange(0, duration_s, 1 / rate_per_s), grace_s=5.0)

    def run(self, schedule_s: npt.NDArray[np.float64], grace_s: float) -> Trace:
        """Send one image at each time of the schedule, and receive until all are answered or `grace_s` is over."""
        prefix = uuid.uuid4().hex
        trace = Trace(schedule_s.copy())
        start = time.perf_counter() + 0.05
        trace.intended_s += start
        sender = threading.Thread(target=self._send, args=(trace, prefix))
        sender.start()
        deadline = trace.intended_s[-1] + grace_s
        while time.perf_counter() < deadline and np.isnan(trace.received_s).any():
            self._receive(trace, prefix)
        sender.join()
        self._producer.flush(grace_s)
        if self._failures:
            raise AppError(f"a request could not be sent: {self._failures[0]}")
        # Duplicates come after the answer that ended the loop, if they come.
        quiet = time.perf_counter() + 0.2
        while time.perf_counter() < quiet:
            self._receive(trace, prefix)
        return trace

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _send(self, trace: Trace, prefix: str) -> None:
        for number, due in enumerate(trace.intended_s):
            while (left := due - time.perf_counter()) > 0:
                # Sleeping overshoots by its own grain: the last part of each wait is spun.
                if left > _SPIN_S:
                    time.sleep(left - _SPIN_S)
            trace.sent_s[number] = time.perf_counter()
            headers: dict[str, str | bytes | None] = {REQUEST_ID: f"{prefix}-{number}"}
            value = self._values[number % len(self._values)]
            while not self._is_queued(value, headers):
                self._producer.poll(0.01)
            self._producer.poll(0)

    def _is_queued(self, value: bytes, headers: dict[str, str | bytes | None]) -> bool:
        try:
            self._producer.produce(self._topics.requests, value, headers=headers, on_delivery=self._on_delivery)
        except BufferError:
            return False
        return True

    def _on_delivery(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failures.append(str(error))

    def _receive(self, trace: Trace, prefix: str) -> None:
        # poll returns with the first message; consume would wait for a whole batch of them.
        message = self._consumer.poll(0.01)
        now = time.perf_counter()
        if message is None:
            return
        if message.error() is not None:
            raise AppError(f"a prediction could not be received: {message.error()}")
        request_id = cast("bytes", dict(message.headers() or []).get(REQUEST_ID, b""))
        run, _, number = request_id.decode().rpartition("-")
        if run == prefix:
            if trace.answers[int(number)] == 0:
                trace.received_s[int(number)] = now
            trace.answers[int(number)] += 1
