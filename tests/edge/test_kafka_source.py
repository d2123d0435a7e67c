"""What a real broker does not do on demand to the Kafka client; all else is in tests/system."""

import time
from typing import Any

import kafka.errors
import pytest

from edge import kafka_member, kafka_source
from edge.errors import BrokerUnavailableError, ConfigurationError, EdgeError, NotAuthorisedError
from edge.kafka_source import KafkaSource
from edge.records import Partition


class StrangeConsumer:
    """A consumer whose poll returns nothing in time: asleep, in a busy loop as kafka-python can be, or raising."""

    def __init__(self) -> None:
        self.is_busy = False
        self.is_connected = True
        self.is_closed = False
        self.topic = "first"
        self.raises: Exception | None = None
        self.timeouts_ms: list[int] = []
        self.rejoining = False
        self.rejoins_requested = 0
        self.hears_nothing = False
        self.last_send = self.last_reset = time.monotonic()
        self._cluster = self._manager = self._fetcher = self._coordinator = self.heartbeat = self

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
        return {}


class Cluster:
    """Makes strange consumers, and has a fault or not."""

    def __init__(self) -> None:
        self.consumers: list[StrangeConsumer] = []
        self.fault: EdgeError | None = None
        self.revoked: list[Any] = []
        self.source = KafkaSource(self.open_consumer, "topic", self.on_revoked, lambda: self.fault)

    def open_consumer(self) -> StrangeConsumer:
        self.consumers.append(StrangeConsumer())
        return self.consumers[-1]

    def on_revoked(self, partitions: Any) -> dict[Partition, int]:
        self.revoked += partitions
        return {}


def test_a_busy_loop_inside_the_client_is_kept_short_until_it_ends() -> None:
    cluster = Cluster()
    (consumer,) = cluster.consumers
    cluster.source.read(500, 0.1)
    consumer.is_busy = True
    for _ in range(3):
        cluster.source.read(500, 0.1)
    consumer.is_busy = False
    for _ in range(2):
        cluster.source.read(500, 0.1)
    assert consumer.timeouts_ms == [100, 100, 20, 20, 20, 100]


def test_a_heartbeat_that_is_not_answered_is_the_same() -> None:
    cluster = Cluster()
    (consumer,) = cluster.consumers
    consumer.last_send = consumer.last_reset = time.monotonic() - 3.0
    for _ in range(2):
        cluster.source.read(500, 0.1)
    consumer.last_send = time.monotonic()
    for _ in range(2):
        cluster.source.read(500, 0.1)
    assert consumer.timeouts_ms == [100, 20, 20, 100]


def test_a_poll_of_a_moment_is_no_busy_loop_however_busy_it_is() -> None:
    cluster = Cluster()
    (consumer,) = cluster.consumers
    consumer.is_busy = True
    for _ in range(3):
        cluster.source.read(500, 0.002)
    assert consumer.timeouts_ms == [2, 2, 2]


def test_a_rebalance_that_a_timeout_has_interrupted_is_kept_going() -> None:
    cluster = Cluster()
    (consumer,) = cluster.consumers
    cluster.source.read(500, 0.0)
    assert consumer.rejoins_requested == 0
    consumer.rejoining = True
    cluster.source.read(500, 0.0)
    assert consumer.rejoins_requested == 1


@pytest.mark.parametrize(
    ("session_ms", "hears_nothing", "rejoins"),
    [(0, True, 1), (0, False, 0), (60_000, True, 0)],
    ids=["asleep", "slow", "in an outage"],
)
def test_a_process_that_was_asleep_joins_again_before_it_reads(
    session_ms: int, hears_nothing: bool, rejoins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_member, "SESSION_TIMEOUT_MS", session_ms)
    cluster = Cluster()
    (consumer,) = cluster.consumers
    consumer.hears_nothing = hears_nothing
    cluster.source.read(500, 0.0)
    assert consumer.rejoins_requested == rejoins


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_source, "STUCK_S", 0.0)
    monkeypatch.setattr(kafka_source, "_LOOK_S", 0.0)


@pytest.mark.usefixtures("no_patience")
def test_a_client_that_is_busy_with_nothing_while_a_broker_answers_is_replaced() -> None:
    cluster = Cluster()
    settled: list[Exception | None] = []
    cluster.consumers[0].is_busy = True
    cluster.source.commit({Partition("topic", 0): 7}, settled.append)
    cluster.source.read(500, 0.1)
    cluster.source.read(500, 0.1)
    assert len(cluster.consumers) == 2
    assert cluster.consumers[0].is_closed
    assert cluster.revoked == [Partition("topic", 0)]
    assert [type(error) for error in settled] == [BrokerUnavailableError]


@pytest.mark.usefixtures("no_patience")
def test_a_client_without_a_connection_waits_for_a_broker_that_is_away() -> None:
    cluster = Cluster()
    cluster.consumers[0].is_connected = False
    cluster.fault = BrokerUnavailableError("away")
    for _ in range(3):
        assert cluster.source.read(500, 0.0) == []
    assert len(cluster.consumers) == 1


@pytest.mark.usefixtures("no_patience")
def test_credentials_that_are_refused_while_running_end_the_wait() -> None:
    cluster = Cluster()
    cluster.consumers[0].is_connected = False
    cluster.fault = NotAuthorisedError("the password was changed")
    with pytest.raises(NotAuthorisedError, match="the password was changed"):
        cluster.source.read(500, 0.0)


def test_a_topic_that_was_made_again_is_an_error_and_nothing_is_committed_to_it() -> None:
    cluster = Cluster()
    cluster.source.read(500, 0.0)
    cluster.consumers[0].topic = "second"
    with pytest.raises(ConfigurationError, match="deleted and made again"):
        cluster.source.read(500, 0.0)
    cluster.source.commit_now({Partition("topic", 0): 7}, 1.0)


def test_an_error_that_may_pass_is_waited_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    cluster.consumers[0].raises = kafka.errors.UnknownMemberIdError()
    deadline = time.monotonic() + 10
    while not caplog.records and time.monotonic() < deadline:
        assert cluster.source.read(500, 0.0) == []
    cluster.source.read(500, 0.0)
    assert len(caplog.records) == 1
    assert "reading fails and will be repeated" in caplog.text


def test_an_error_that_does_not_pass_is_raised() -> None:
    cluster = Cluster()
    cluster.consumers[0].raises = kafka.errors.GroupAuthorizationFailedError("group")
    with pytest.raises(NotAuthorisedError):
        cluster.source.read(500, 0.0)
