"""What a real broker does not do on demand to the Kafka client; all else is in tests/system."""

import time

import kafka.errors
import pytest

from edge import ahead, kafka_member, kafka_source
from edge.errors import BrokerUnavailableError, ConfigurationError, FencedError, NotAuthorisedError
from edge.records import Partition, Record
from tests.edge.strange_consumer import Cluster


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
    assert set(consumer.is_inline) == {False}


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
def test_a_broker_that_goes_while_a_client_is_replaced_is_waited_for_by_the_old_one() -> None:
    cluster = Cluster()
    cluster.consumers[0].is_busy = True
    cluster.opening_fails_with = BrokerUnavailableError("gone again")
    for _ in range(3):
        assert cluster.source.read(500, 0.1) == []
    assert not cluster.consumers[0].is_closed
    assert cluster.revoked == []
    cluster.opening_fails_with = None
    cluster.source.read(500, 0.1)
    cluster.source.read(500, 0.1)
    assert [consumer.is_closed for consumer in cluster.consumers] == [True, False]


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


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Whose consumer has 100 records, and was polled just before."""
    monkeypatch.setattr(ahead, "RECORDS", 32)
    cluster = Cluster()
    cluster.source.read(4, 0.0)
    cluster.consumers[0].records = [Record(Partition("topic", 0), offset, 0, None, b"", []) for offset in range(100)]
    return cluster


def read(cluster: Cluster, count: int) -> list[int]:
    return [record.offset for record in cluster.source.read(count, 0.0)]


def test_a_poll_is_for_several_reads(filled: Cluster) -> None:
    assert [read(filled, 4) for _ in range(25)] == [list(range(start, start + 4)) for start in range(0, 100, 4)]
    assert filled.consumers[0].asked == [4, 32, 32, 32, 32]
    assert filled.consumers[0].times_heard == 25 - 4


def test_what_was_polled_long_ago_is_polled_again_by_a_member_in_good_standing(
    filled: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (consumer,) = filled.consumers
    assert read(filled, 4) == [0, 1, 2, 3]
    monkeypatch.setattr(ahead, "STALE_S", 0.0)
    consumer.records, consumer.rejoining = [], True
    assert read(filled, 4) == []
    assert (consumer.sought, consumer.rejoins_requested) == ({("topic", 0): 4}, 1)
    assert consumer.asked[-1] == 4


def test_while_paused_nothing_is_read_but_commits_are_heard_of(filled: Cluster) -> None:
    assert read(filled, 4) == [0, 1, 2, 3]
    filled.source.pause(True)
    assert read(filled, 4) == []
    assert (len(filled.consumers[0].asked), filled.consumers[0].times_heard) == (2, 1)
    filled.source.pause(False)
    assert read(filled, 4) == [4, 5, 6, 7]


def test_a_pause_is_looked_up_from_often() -> None:
    cluster = Cluster()
    cluster.source.pause(True)
    assert cluster.source.read(4, 0.05) == []
    cluster.source.pause(False)
    cluster.source.read(4, 0.05)
    assert cluster.consumers[0].timeouts_ms == [5, 50]


def test_the_thread_that_reads_runs_the_network_unless_it_has_a_backlog_or_is_paused(filled: Cluster) -> None:
    (consumer,) = filled.consumers
    assert consumer.is_inline == []
    read(filled, 4)
    assert consumer.is_inline == [False]
    for _ in range(24):
        read(filled, 4)
    assert consumer.is_inline == [False, False, False, True]
    filled.source.pause(True)
    read(filled, 4)
    assert consumer.is_inline[-1] is False


def test_what_was_polled_is_dropped_when_its_partition_is_rewound(filled: Cluster) -> None:
    assert read(filled, 4) == [0, 1, 2, 3]
    filled.source.rewind({Partition("topic", 1): 2})
    assert read(filled, 4) == [4, 5, 6, 7]
    filled.source.rewind({Partition("topic", 0): 2})
    assert filled.consumers[0].sought == {("topic", 0): 2}
    assert read(filled, 4) == [32, 33, 34, 35]


def test_a_name_that_was_taken_is_an_error_though_there_are_records_ahead(
    filled: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fenced() -> None:
        raise kafka.errors.FencedInstanceIdError

    read(filled, 4)
    monkeypatch.setattr(filled.consumers[0], "_invoke_completed_offset_commit_callbacks", fenced)
    with pytest.raises(FencedError):
        read(filled, 4)
