"""Exactly once, in memory: transactions that fail, hang, or are fenced; the real broker's part is in tests/faults."""

import time
from collections.abc import Mapping, Sequence

import pytest

from edge import transactions
from edge.errors import BrokerUnavailableError, FencedError, NotAuthorisedError
from edge.memory_client import MemoryClient, MemorySource, MemoryTransactionalSink
from edge.records import Encoded, OnDone, Partition
from edge.transactions import ExactlyOnce

PARTITION = Partition("in", 0)
COMMITTED = ("group", PARTITION)


class Bench:
    """A source, a guarantee and a client; `turn` is one turn of the classifier's loop."""

    def __init__(self, records: int = 3) -> None:
        self.client = MemoryClient()
        for number in range(records):
            self.client.append("in", str(number).encode())
        self.delivery = ExactlyOnce(self.open_sink, commit_interval_s=0.0)
        self.source: MemorySource = self.client.open_source("in", "group", self.delivery.on_revoked)
        self.delivery.attach(self.source)

    def open_sink(self) -> MemoryTransactionalSink:
        return self.client.open_transactional_sink("name")

    @property
    def answers(self) -> list[bytes | None]:
        return [record.value for record in self.client.topics["out"]]

    def read_and_write(self) -> None:
        self.source.pause(self.delivery.is_full)
        records = self.source.read(2, 0.0)
        for record in records:
            self.delivery.write(self.delivery.track([record]), "out", [Encoded(record.key, record.value, ())])

    def turn(self) -> None:
        self.delivery.settle()
        self.read_and_write()

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn()


def test_answers_and_offsets_are_seen_together_or_not_at_all() -> None:
    bench = Bench()
    bench.turn()
    assert (bench.answers, bench.client.committed) == ([], {})
    bench.delivery.settle()
    assert (bench.answers, bench.client.committed) == ([b"0", b"1"], {COMMITTED: 2})
    bench.turn()
    assert bench.delivery.drain(1.0) == 0
    assert (bench.answers, bench.client.committed) == ([b"0", b"1", b"2"], {COMMITTED: 3})


@pytest.mark.parametrize("writes_before", [0, 1, 2])
def test_whatever_fails_in_a_transaction_is_answered_again_and_seen_once(writes_before: int) -> None:
    bench = Bench(6)
    bench.turn()
    bench.delivery.settle()
    original = bench.client.failures
    # Two writes and one commit a turn: the failure meets the first write, the second, or the commit.
    bench.client.failures = _FailAt(writes_before)
    bench.turn()
    bench.delivery.settle()
    assert bench.client.committed == {COMMITTED: 2}
    bench.client.failures = original
    bench.turns(4)
    assert bench.answers == [str(n).encode() for n in range(6)]
    assert bench.client.committed == {COMMITTED: 6}
    assert bench.client.sinks_opened == 2


class _FailAt(list[Exception]):
    """Deals its one failure to the caller that comes after so many."""

    def __init__(self, calls_before: int) -> None:
        super().__init__([BrokerUnavailableError("gone")])
        self._left = calls_before

    def __bool__(self) -> bool:
        self._left -= 1
        return self._left == -1


class AmbiguousSink(MemoryTransactionalSink):
    """Commits, and then the connection breaks before it can say so."""

    def commit(self, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
        super().commit(offsets, membership, lambda _: on_done(BrokerUnavailableError("connection lost")))


def test_a_commit_of_which_nobody_heard_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "open_sink", lambda bench: AmbiguousSink(bench.client))
    bench = Bench()
    bench.turn()
    monkeypatch.setattr(Bench, "open_sink", lambda bench: MemoryTransactionalSink(bench.client))
    bench.delivery._open_sink = bench.open_sink
    bench.turns(3)
    assert bench.answers == [b"0", b"1", b"2"]


class HangingSink(MemoryTransactionalSink):
    """Commits only when told to."""

    waiting: list[OnDone]

    def commit(self, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
        self.waiting = [on_done]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Whose first sink hangs at its first commit."""
    monkeypatch.setattr(transactions, "_COMMIT_WAIT_S", 0.0)
    monkeypatch.setattr(transactions, "REVOKE_WAIT_S", 0.0)
    sinks: list[MemoryTransactionalSink] = []

    def open_sink(bench: Bench) -> MemoryTransactionalSink:
        sinks.append(MemoryTransactionalSink(bench.client) if sinks else HangingSink(bench.client))
        bench.client.sinks_opened += 1
        return sinks[-1]

    monkeypatch.setattr(Bench, "open_sink", open_sink)
    return Bench()


def test_nothing_is_read_while_a_commit_takes_its_time(hanging: Bench) -> None:
    hanging.turns(3)
    assert hanging.delivery.is_full
    sink = hanging.delivery._sink
    assert isinstance(sink, HangingSink)
    MemoryTransactionalSink.commit(sink, {PARTITION: 2}, hanging.source.membership, sink.waiting[0])
    hanging.delivery.settle()
    assert not hanging.delivery.is_full
    assert hanging.client.sinks_opened == 1
    assert hanging.answers == [b"0", b"1"]


class SlowSink(MemoryTransactionalSink):
    """Acknowledges no write."""

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        pass


def test_nothing_is_added_to_a_transaction_that_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_COMMIT_WAIT_S", 0.0)
    monkeypatch.setattr(Bench, "open_sink", lambda bench: SlowSink(bench.client))
    bench = Bench()
    bench.turns(3)
    assert bench.delivery.is_full
    assert bench.delivery.drain(0.0) == 2


def test_writes_that_are_refused_at_once_again_and_again_are_repeated_ever_less_often() -> None:
    bench = Bench()
    bench.client.failures = [BrokerUnavailableError("refused")] * 1000
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        bench.turn()
    assert 2 <= bench.client.sinks_opened <= 8


def test_a_commit_that_takes_too_long_is_given_up(hanging: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging.turns(3)
    assert hanging.client.sinks_opened == 1
    monkeypatch.setattr(transactions, "TRANSACTION_TIMEOUT_S", 0.0)
    hanging.turn()
    monkeypatch.undo()
    hanging.turns(3)
    assert hanging.client.sinks_opened == 2
    assert hanging.answers == [b"0", b"1", b"2"]


def test_a_revocation_commits_what_is_open() -> None:
    bench = Bench()
    bench.turn()
    assert bench.delivery.on_revoked([PARTITION]) == {}
    assert (bench.answers, bench.client.committed) == ([b"0", b"1"], {COMMITTED: 2})


def test_what_a_revocation_cannot_commit_in_time_is_given_up(hanging: Bench) -> None:
    hanging.read_and_write()
    assert hanging.delivery.on_revoked([PARTITION]) == {}
    hanging.turns(3)
    assert hanging.client.sinks_opened == 2
    assert hanging.answers == [b"0", b"1", b"2"]


@pytest.mark.parametrize("error", [FencedError("another process"), NotAuthorisedError("no right")])
def test_a_fenced_process_stops(error: Exception) -> None:
    bench = Bench()
    bench.client.failures.append(error)
    bench.turn()
    with pytest.raises(type(error)):
        bench.delivery.settle()
    assert bench.delivery.drain(0.1) == 2
    assert bench.answers == []


def test_a_process_that_was_asleep_for_longer_than_its_transaction_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.client.failures.append(FencedError("the broker ended the transaction"))
    bench.turn()
    monkeypatch.setattr(transactions, "TRANSACTION_TIMEOUT_S", 0.0)
    bench.delivery.settle()
    monkeypatch.undo()
    bench.turns(3)
    assert bench.answers == [b"0", b"1", b"2"]


def test_a_process_that_was_replaced_in_its_sleep_does_not_fence_the_one_that_has_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()

    def check_place() -> None:
        raise FencedError("another process")

    bench.client.failures.append(BrokerUnavailableError("it took too long"))
    bench.turn()
    monkeypatch.setattr(bench.source, "check_place", check_place)
    with pytest.raises(FencedError):
        bench.delivery.settle()
    assert bench.client.sinks_opened == 1


def test_a_sink_that_cannot_be_opened_is_tried_again_and_nothing_is_read_meanwhile() -> None:
    bench = Bench()
    bench.client.failures.append(BrokerUnavailableError("gone"))
    bench.turn()
    away = [BrokerUnavailableError("away"), BrokerUnavailableError("still away")]

    def open_sink() -> MemoryTransactionalSink:
        if away:
            raise away.pop()
        return bench.open_sink()

    bench.delivery._open_sink = open_sink
    bench.turn()
    assert bench.delivery.is_full
    assert bench.answers == []
    deadline = time.monotonic() + 10
    while bench.delivery.is_full and time.monotonic() < deadline:
        bench.delivery.settle()
    bench.turns(3)
    assert bench.answers == [b"0", b"1", b"2"]
