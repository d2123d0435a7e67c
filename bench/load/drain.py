"""Fills a topic with requests, and times how fast they are answered, by the broker's own clock."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as numbers
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, IsolationLevel, KafkaException, Message, Producer, TopicPartition
from confluent_kafka import admin as kafka_admin

from bench.errors import AppError
from bench.load.driver import START_TIMEOUT_S, Encode, Headers, with_id
from bench.load.offsets import partitions_of, watermarks
from edge.cluster import Cluster
from edge.codec import CONTENT_TYPE, REQUEST_TOPIC_CONFIG
from edge.confluent_options import connection_options

APPENDED = {"message.timestamp.type": "LogAppendTime"}
"""Configuration of a topic of predictions: the broker's clock says when each one was there."""
WARM_UP_SHARE = 0.1
"""The first part of the answers, which is not timed: processes start, and Java compiles."""
_LOOK_S = 0.05
_LATEST: Any = cast("Any", kafka_admin).OffsetSpec.latest()
_CRITICAL = 2  # of syslog: a broker that starts, or is stopped, makes librdkafka warn


@dataclass(frozen=True)
class Drained:
    """How a preloaded topic was answered; `answered` counts requests, `duplicated` those answered more than once."""

    requests: int
    answered: int
    duplicated: int
    images_per_s: float
    seconds: float

    @property
    def lost(self) -> int:
        """Requests without an answer."""
        return self.requests - self.answered


def create_topics(cluster: Cluster, requests: str, predictions: str, partitions: int) -> None:
    """A topic of requests and one of predictions that is timed by the broker."""
    with cluster.connect() as pubsub:
        pubsub.create_topic(requests, partitions, REQUEST_TOPIC_CONFIG, "WRITE")
        pubsub.create_topic(predictions, partitions, APPENDED, "READ")


def preload(
    cluster: Cluster,
    topic: str,
    values: Sequence[bytes],
    count: int,
    partitions: int = 1,
    content_type: str = "",
    encode: Encode = with_id,
    ids: Iterable[int] | None = None,
) -> None:
    """Write `count` requests, in turn over the partitions; their ids are the numbers from 0 on.

    `encode` makes value and headers of one from an image's bytes and its id. `ids` may come one by one, and end
    before `count`.

    Raises: AppError when one could not be written.
    """
    failures: list[str] = []

    def on_delivery(error: Any, _: Any) -> None:
        if error is not None:
            failures.append(str(error))

    options = {"linger.ms": 5, "acks": "all", "enable.idempotence": True, "log_level": _CRITICAL}
    producer = Producer({**connection_options(cluster), **options})
    kind: Headers = {CONTENT_TYPE: content_type} if content_type else {}
    for number in range(count) if ids is None else ids:
        value, headers = encode(values[number % len(values)], str(number))
        while not _is_queued(producer, topic, number % partitions, value, {**headers, **kind}, on_delivery):
            producer.poll(0.05)
        producer.poll(0)
    if producer.flush(START_TIMEOUT_S) or failures:
        raise AppError(
            f"the requests could not be written: {failures[0] if failures else 'the broker does not answer'}"
        )


def _is_queued(
    producer: Producer,
    topic: str,
    partition: int,
    value: bytes,
    headers: Headers,
    on_delivery: Callable[[Any, Any], None],
) -> bool:
    try:
        producer.produce(topic, value, partition=partition, headers=headers, on_delivery=on_delivery)
    except BufferError:
        return False
    return True


class Finish:
    """Watches a topic of predictions without reading it, so that watching costs next to nothing."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        options = {**connection_options(cluster), "log_level": _CRITICAL}
        self._consumer = Consumer({**options, "group.id": "bench", "isolation.level": "read_committed"})
        self._admin = kafka_admin.AdminClient(options)
        self._partitions = partitions_of(self._consumer, topic)

    def __enter__(self) -> "Finish":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def written(self) -> int:
        """How many records were written so far, markers of transactions included."""
        # One request for all partitions: the broker has better things to do.
        wanted = dict.fromkeys(self._partitions, _LATEST)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            found = self._admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED)
            try:
                return sum(future.result().offset for future in found.values())
            except KafkaException as error:
                # A new topic's partitions may have no leader yet.
                if time.monotonic() > deadline:
                    raise AppError(f"the broker does not say how much was written: {error.args[0].str()}") from None
                time.sleep(_LOOK_S)

    def wait(self, count: int, timeout_s: float, check: Callable[[], None]) -> bool:
        """Wait until `count` records are there; `check` is called now and then, to raise when an app has ended."""
        deadline = time.monotonic() + timeout_s
        while self.written() < count:
            check()
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def read(self) -> Iterator[Message]:
        """All predictions that were written until now."""
        ends = {}
        for partition in self._partitions:
            partition.offset, ends[partition.partition] = watermarks(self._consumer, partition)
        self._consumer.assign([p for p in self._partitions if p.offset < ends[p.partition]])
        deadline = time.monotonic() + START_TIMEOUT_S
        while missing := self._missing(ends):
            # More than there are would be waited for.
            for message in self._consumer.consume(min(10_000, missing), 0.5):
                if message.error() is not None:
                    raise AppError(f"a prediction could not be read: {message.error()}")
                yield message
            if time.monotonic() > deadline:
                raise AppError(f"the predictions could not be read within {START_TIMEOUT_S:.0f} s")

    def _missing(self, ends: Mapping[int, int]) -> int:
        """How many offsets are still to be read; where nothing was read yet, a position is negative."""
        firsts = {partition.partition: partition.offset for partition in self._partitions}
        positions: list[TopicPartition] = self._consumer.position(self._consumer.assignment())
        return sum(ends[p.partition] - max(p.offset, firsts[p.partition]) for p in positions)


def drained(
    finish: Finish,
    requests: int,
    timeout_s: float,
    check: Callable[[], None],
    id_of: Callable[[Message], str | None],
    warm_up: float = WARM_UP_SHARE,
) -> Drained:
    """Wait until all requests are answered, and time the answers; a request that stays without one is lost."""
    deadline = time.monotonic() + timeout_s
    expected = requests
    while True:
        is_there = finish.wait(expected, max(0.0, deadline - time.monotonic()), check)
        first_ms, answers = _answers(finish, requests, id_of)
        answered = int((answers > 0).sum())
        if answered == requests or not is_there:
            break
        # Duplicates, or markers of transactions, were among what was counted.
        expected = finish.written() + requests - answered
    rate, seconds = _rate(np.sort(first_ms[answers > 0]), warm_up)
    return Drained(requests, answered, int((answers > 1).sum()), rate, seconds)


def _answers(
    finish: Finish, requests: int, id_of: Callable[[Message], str | None]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """When each request was answered first, in milliseconds since 1970, and how often."""
    first_ms = np.full(requests, np.inf)
    answers = np.zeros(requests, np.int64)
    for message, position in zip(finish.read(), numbers(), strict=False):
        known = id_of(message)
        number = position if known is None else int(known)
        if number < requests:
            first_ms[number] = min(first_ms[number], message.timestamp()[1])
            answers[number] += 1
    return first_ms, answers


def _rate(times_ms: npt.NDArray[np.float64], warm_up: float) -> tuple[float, float]:
    """Answers a second behind the warm-up, and the seconds that this took."""
    skipped = int(len(times_ms) * warm_up)
    if len(times_ms) - skipped < 2 or times_ms[-1] <= times_ms[skipped]:
        return 0.0, 0.0
    seconds = float(times_ms[-1] - times_ms[skipped]) / 1000
    return (len(times_ms) - skipped - 1) / seconds, seconds
