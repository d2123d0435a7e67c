"""A consumer of kafka-python that does what a real one does only in faults that cannot be staged."""

import time
from typing import Any

from edge.errors import EdgeError
from edge.kafka_source import KafkaSource
from edge.records import Partition, Record


class StrangeConsumer:
    """A consumer whose poll returns nothing in time: asleep, in a busy loop as kafka-python can be, or raising."""

    def __init__(self) -> None:
        self.is_busy = False
        self.is_connected = True
        self.is_closed = False
        self.topic = "first"
        self.raises: Exception | None = None
        self.timeouts_ms: list[int] = []
        self.records: list[Record] = []
        self.asked: list[int] = []
        self.sought: dict[Any, int] = {}
        self.times_heard = 0
        self.rejoining = False
        self.rejoins_requested = 0
        self.hears_nothing = False
        self.last_send = self.last_reset = time.monotonic()
        self.is_inline: list[bool] = []
        self._net = self._cluster = self._manager = self._fetcher = self._coordinator = self.heartbeat = self

    def set_inline(self, is_inline: bool) -> None:
        self.is_inline.append(is_inline)

    def topic_id(self, topic: str) -> str:
        return self.topic

    def session_timeout_expired(self) -> bool:
        return self.hears_nothing

    def stable(self) -> bool:
        return True

    def is_dynamic_member(self) -> bool:
        return True

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def request_rejoin(self) -> None:
        self.rejoins_requested += 1

    def least_used_connections(self) -> list[str]:
        return ["broker"] if self.is_connected else []

    def subscribe(self, topics: list[str], listener: object) -> None:
        pass

    def assignment(self) -> set[tuple[str, int]]:
        return {("topic", 0)}

    def seek(self, tp: Any, offset: int) -> None:
        self.sought[tp] = offset

    def pause(self, *partitions: object) -> None:
        pass

    def paused(self) -> set[object]:
        return set()

    def _invoke_completed_offset_commit_callbacks(self) -> None:
        self.times_heard += 1

    def commit_async(self, offsets: object, callback: object) -> None:
        pass

    def commit(self, offsets: object, timeout_ms: int) -> None:
        raise AssertionError("nothing may be committed here")

    def close(self, autocommit: bool, timeout_ms: int) -> None:
        self.is_closed = True

    def poll(self, timeout_ms: int, max_records: int) -> dict[object, object]:
        self.timeouts_ms.append(timeout_ms)
        if self.raises is not None:
            raise self.raises
        until = time.thread_time() + timeout_ms / 1000
        while self.is_busy and time.thread_time() < until:
            pass
        self.asked.append(max_records)
        polled, self.records = self.records[:max_records], self.records[max_records:]
        return {("topic", 0): polled} if polled else {}


class Cluster:
    """Makes strange consumers, and has a fault or not."""

    def __init__(self) -> None:
        self.consumers: list[StrangeConsumer] = []
        self.fault: EdgeError | None = None
        self.opening_fails_with: EdgeError | None = None
        self.revoked: list[Any] = []
        self.source = KafkaSource(self.open_consumer, "topic", self.on_revoked, lambda: self.fault)

    def open_consumer(self) -> StrangeConsumer:
        if self.opening_fails_with is not None:
            raise self.opening_fails_with
        self.consumers.append(StrangeConsumer())
        return self.consumers[-1]

    def on_revoked(self, partitions: Any) -> dict[Partition, int]:
        self.revoked += partitions
        return {}
