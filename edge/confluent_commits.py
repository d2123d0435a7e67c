"""Commits of one of librdkafka's consumers: in the background one at a time, and such as are waited for."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import TopicPartition

from edge.confluent_errors import CLIENT_ERRORS, kafka_error, translate
from edge.errors import BrokerUnavailableError, EdgeError, is_fatal
from edge.records import OnDone, Partition

_OVERDUE_S = 15.0
"""A commit without an answer for so long has failed, whatever librdkafka still does about it."""


class Commits:
    """What is being committed; `fatal` is a failure that no repetition mends."""

    def __init__(self, topic: str, group: str) -> None:
        self.fatal: EdgeError | None = None
        self._topic = topic
        self._group = group
        self._pending: dict[int, int] = {}
        self._on_done: OnDone | None = None
        self._since = 0.0

    def start(self, consumer: Any, offsets: Mapping[Partition, int], on_done: OnDone) -> None:
        """Commit in the background; `on_done` is called while the consumer is read."""
        self._pending = {partition.number: offset for partition, offset in offsets.items()}
        self._on_done, self._since = on_done, time.monotonic()
        try:
            consumer.commit(offsets=kafka_offsets(offsets), asynchronous=True)
        except CLIENT_ERRORS as error:
            self.settle(error)

    def taken(self, error: Any, partitions: Collection[Any]) -> None:
        """The consumer's callback, which also reports the commits that were waited for."""
        if self._pending == {partition.partition: partition.offset for partition in partitions}:
            self.settle(error or next((p.error for p in partitions if p.error is not None), None))

    def settle(self, error: Any) -> None:
        """The commit under way, if there is one, has come to this."""
        on_done, self._on_done = self._on_done, None
        if on_done is None:
            return
        failure = None if error is None else translate(error, "committing", topic=self._topic, group=self._group)
        if is_fatal(failure):
            self.fatal = failure
        on_done(failure)

    def look(self, now: float) -> None:
        """Give up a commit that is not answered."""
        if self._on_done is not None and now - self._since > _OVERDUE_S:
            self.settle(BrokerUnavailableError("committing: no answer"))


def commit(consumer: Any, offsets: Mapping[Partition, int]) -> object:
    """Commit and wait for as long as librdkafka does; returns what went wrong, None when nothing did."""
    try:
        found = consumer.commit(offsets=kafka_offsets(offsets), asynchronous=False)
    except CLIENT_ERRORS as error:
        return kafka_error(error)
    return next((partition.error for partition in found if partition.error is not None), None)


def commit_in_time(consumer: Any, offsets: Mapping[Partition, int], timeout_s: float) -> object:
    """The same, waiting no longer than that."""
    failures: list[object] = []
    is_done = does_in_time(lambda: failures.append(commit(consumer, offsets)), timeout_s)
    return failures[0] if is_done else "no answer"


def does_in_time(action: Callable[[], object], timeout_s: float) -> bool:
    """Whether it ends in time: librdkafka waits longer than that for a broker that hangs, on a thread left behind."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return not thread.is_alive()


def kafka_offsets(offsets: Mapping[Partition, int]) -> list[Any]:
    """Offsets as librdkafka takes them."""
    return [TopicPartition(partition.topic, partition.number, offset) for partition, offset in offsets.items()]
