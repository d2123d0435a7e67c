"""A scan ends where the topic ended when it began; that a real broker serves it is in tests/system."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from edge import kafka_scan
from edge.errors import BrokerUnavailableError, ConfigurationError
from edge.kafka_scan import scan
from edge.records import Partition, Record


class Consumer:
    """A topic `dead` of two partitions of five records, to which more are always being written."""

    def __init__(self, is_silent: bool = False) -> None:
        self._fetcher = SimpleNamespace()
        self.positions: dict[Any, int] = {}
        self.is_silent = is_silent
        self.is_closed = False

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1} if topic == "dead" else set()

    def assign(self, partitions: list[Any]) -> None:
        self.positions = dict.fromkeys(partitions, 0)

    def beginning_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 1)

    def end_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 6)

    def seek(self, tp: Any, offset: int) -> None:
        self.positions[tp] = offset

    def position(self, tp: Any) -> int:
        return self.positions[tp]

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        if self.is_silent:
            return {}
        polled = {}
        for tp, start in self.positions.items():
            self.positions[tp] = start + 4
            polled[tp] = [Record(Partition(*tp), start + n, 0, None, b"", []) for n in range(4)]
        return polled

    def close(self, autocommit: bool) -> None:
        self.is_closed = True


def places(consumer: Consumer, starts: dict[Partition, int] | None = None) -> list[tuple[int, int]]:
    return sorted((r.partition.number, r.offset) for r in scan(consumer, "dead", starts, threading.Event()))


def test_all_partitions_from_their_first_offset_to_their_end_and_not_beyond() -> None:
    consumer = Consumer()
    assert places(consumer) == [(n, offset) for n in (0, 1) for offset in range(1, 6)]
    assert consumer.is_closed


def test_some_partitions_from_some_offset() -> None:
    assert places(Consumer(), {Partition("dead", 1): 4}) == [(1, 4), (1, 5)]
    assert places(Consumer(), {Partition("dead", 0): 9}) == []
    assert places(Consumer(), {Partition("dead", 7): 0}) == []


def test_a_topic_that_is_not_there_is_named() -> None:
    consumer = Consumer()
    with pytest.raises(ConfigurationError, match="there is no topic 'other' here"):
        list(scan(consumer, "other", None, threading.Event()))
    assert consumer.is_closed


def test_a_broker_that_falls_silent_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_scan, "STALLED_S", 0.0)
    with pytest.raises(BrokerUnavailableError, match="nothing came"):
        places(Consumer(is_silent=True))


def test_who_is_told_to_stop_stops() -> None:
    stop, consumer = threading.Event(), Consumer()
    records = scan(consumer, "dead", None, stop)
    next(records)
    stop.set()
    assert len(list(records)) == 7
    assert consumer.positions == {TopicPartition("dead", 0): 5, TopicPartition("dead", 1): 5}
    assert consumer.is_closed
