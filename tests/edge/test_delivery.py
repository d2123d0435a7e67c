"""At least once, in memory: marks, commits, and writes that fail; the real broker's part is in tests/system."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from edge.delivery import AtLeastOnce
from edge.errors import BrokerUnavailableError, ConfigurationError, NotAuthorisedError
from edge.memory_client import MemoryClient, MemorySource
from edge.progress import Ledger
from edge.records import Encoded, Headers, OnDone, Partition, Record

PARTITION = Partition("in", 0)


def start(client: MemoryClient, open_sink: Callable[[], object] | None = None) -> tuple[AtLeastOnce, MemorySource]:
    delivery = AtLeastOnce(open_sink or client.open_sink, commit_interval_s=0.0)  # type: ignore[arg-type]
    source = client.open_source("in", "group", delivery.on_revoked)
    delivery.attach(source)
    return delivery, source


def test_the_mark_follows_the_first_batch_that_is_not_answered_whatever_the_order() -> None:
    generator = random.Random(0)
    for _ in range(200):
        ledger = Ledger()
        offsets = sorted(generator.sample(range(100, 200), 20))
        batches = [offsets[start : start + 2] for start in range(0, 20, 2)]
        tickets = [ledger.track([Record(PARTITION, offset, 0, None, b"x", ()) for offset in b]) for b in batches]
        parts = [(number, ticket) for number, ticket in enumerate(tickets) for _ in range(2)]
        generator.shuffle(parts)
        unanswered = [number for number, _ in parts]
        for number, ticket in parts:
            ledger.settled(ticket, 1, None)
            ledger.collect()
            unanswered.remove(number)
            answered = [b for n, b in enumerate(batches) if not unanswered or n < min(unanswered)]
            assert ledger.due() == ({PARTITION: answered[-1][-1] + 1} if answered else {})
            assert (ledger.pending(), ledger.size) == (20 - 2 * len(answered), 20 - 2 * len(answered))


def test_a_batch_of_several_partitions_moves_the_mark_of_each() -> None:
    ledger, other = Ledger(), Partition("in", 1)
    ledger.track([Record(other, 6, 0, None, b"", ())])
    places = [(PARTITION, 3), (PARTITION, 4), (other, 7), (PARTITION, 5)]
    ticket = ledger.track([Record(partition, offset, 0, None, b"", ()) for partition, offset in places])
    ledger.settled(ticket, 4, None)
    ledger.collect()
    assert ledger.due() == {PARTITION: 6}
    assert ledger.pending() == 2


def test_only_writes_that_are_started_are_waited_for() -> None:
    ledger, began = Ledger(), time.monotonic()
    first, second = (ledger.track([Record(PARTITION, offset, 0, None, b"", ())]) for offset in (3, 4))
    ledger.written(first, 1)
    threading.Timer(0.1, ledger.settled, (first, 1, None)).start()
    ledger.wait([PARTITION], began + 30.0)
    assert time.monotonic() - began < 20.0
    assert ledger.due() == {PARTITION: 4}
    ledger.written(second, 1)
    ledger.wait([PARTITION], time.monotonic() + 0.05)
    assert ledger.pending() == 1


class SlowSink:
    """Settles nothing until told to: what a real broker does, but at a time of the test's choosing."""

    def __init__(self) -> None:
        self.waiting: list[OnDone] = []
        self.closed = False

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        self.waiting.append(on_done)

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        self.waiting.append(on_done)

    def close(self, timeout_s: float) -> None:
        self.closed = True


def read_and_write(delivery: AtLeastOnce, source: MemorySource) -> int:
    records = source.read(100, 0.0)
    for record in records:
        delivery.write(delivery.track([record]), "out", [Encoded(record.key, record.value, ())])
    return len(records)


def test_nothing_is_committed_before_it_is_acknowledged() -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery, source = start(client, lambda: sink)
    for _ in range(3):
        client.append("in", b"x")
    read_and_write(delivery, source)
    sink.waiting[1](None)
    sink.waiting[2](None)
    delivery.settle()
    assert client.committed == {}
    sink.waiting[0](None)
    delivery.settle()
    assert client.committed == {("group", PARTITION): 3}


def test_a_failed_write_is_done_again_by_a_new_producer() -> None:
    client = MemoryClient()
    delivery, source = start(client)
    client.append("in", b"1")
    client.append("in", b"2")
    read_and_write(delivery, source)
    delivery.settle()
    client.failures.append(BrokerUnavailableError("gone"))
    for value in (b"3", b"4"):
        client.append("in", value)
    read_and_write(delivery, source)
    delivery.settle()
    assert client.sinks_opened == 2
    assert client.committed == {("group", PARTITION): 2}
    assert read_and_write(delivery, source) == 2
    delivery.settle()
    assert [record.value for record in client.topics["out"]] == [b"1", b"2", b"3", b"4"]
    assert client.committed == {("group", PARTITION): 4}


@pytest.mark.parametrize("error", [ConfigurationError("too large"), NotAuthorisedError("no right")])
def test_an_error_that_no_repetition_mends_is_raised_and_nothing_is_committed(error: Exception) -> None:
    client = MemoryClient()
    delivery, source = start(client)
    client.failures.append(error)
    client.append("in", b"1")
    read_and_write(delivery, source)
    with pytest.raises(type(error)):
        delivery.settle()
    assert delivery.drain(0.1) == 1
    assert client.committed == {}


def test_what_was_read_before_a_failure_and_comes_late_is_left_to_its_next_reading() -> None:
    client = MemoryClient()
    delivery, source = start(client)
    client.append("in", b"1")
    client.append("in", b"2")
    first, second = source.read(2, 0.0)
    client.failures.append(BrokerUnavailableError("gone"))
    delivery.write(delivery.track([first]), "out", [Encoded(None, b"1", ())])
    late = delivery.track([second])
    delivery.settle()
    delivery.write(late, "out", [Encoded(None, b"2", ())])
    assert client.topics["out"] == []
    assert read_and_write(delivery, source) == 2
    delivery.settle()
    assert [record.value for record in client.topics["out"]] == [b"1", b"2"]
    assert client.committed == {("group", PARTITION): 2}


def deal(sinks: list[object]) -> object:
    sink = sinks.pop(0)
    if isinstance(sink, Exception):
        raise sink
    return sink


def test_no_producer_yet_is_tried_again_until_there_is_one() -> None:
    client = MemoryClient()
    sinks: list[object] = [client.open_sink(), BrokerUnavailableError("away"), client.open_sink()]
    delivery, source = start(client, partial(deal, sinks))
    client.failures.append(BrokerUnavailableError("gone"))
    client.append("in", b"1")
    read_and_write(delivery, source)
    delivery.settle()
    assert delivery.is_full
    deadline = time.monotonic() + 10
    while delivery.is_full and time.monotonic() < deadline:
        delivery.settle()
    assert read_and_write(delivery, source) == 1
    assert delivery.drain(1.0) == 0
    assert client.committed == {("group", PARTITION): 1}


def test_after_a_failure_no_further_write_is_tried_until_it_is_handled() -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery, source = start(client, lambda: sink)
    for _ in range(3):
        client.append("in", b"x")
    records = source.read(3, 0.0)
    tickets = [delivery.track([record]) for record in records]
    delivery.write(tickets[0], "out", [Encoded(None, b"", ())])
    sink.waiting[0](BrokerUnavailableError("blocked for ten seconds"))
    for ticket in tickets[1:]:
        delivery.write(ticket, "out", [Encoded(None, b"", ())])
    assert len(sink.waiting) == 1
    delivery.settle()
    assert read_and_write(delivery, source) == 3
    assert len(sink.waiting) == 4


def test_too_much_in_flight_stops_reading() -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery = AtLeastOnce(lambda: sink, max_in_flight=3, max_in_flight_bytes=100)
    source = client.open_source("in", "group", delivery.on_revoked)
    client.append("in", bytes(50))
    read_and_write(delivery, source)
    assert not delivery.is_full
    client.append("in", bytes(50))
    read_and_write(delivery, source)
    assert delivery.is_full
    for on_done in sink.waiting:
        on_done(None)
    delivery.settle()
    assert not delivery.is_full
    for _ in range(3):
        client.append("in", b"")
    read_and_write(delivery, source)
    assert delivery.is_full


def test_revocation_waits_for_acknowledgements_that_are_on_their_way() -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery, source = start(client, lambda: sink)
    client.append("in", b"x")
    read_and_write(delivery, source)
    threading.Timer(0.05, sink.waiting[0], [None]).start()
    assert delivery.on_revoked([PARTITION]) == {PARTITION: 1}
    assert delivery.on_revoked([PARTITION]) == {}


def test_what_settles_after_a_revocation_changes_nothing() -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery, source = start(client, lambda: sink)
    client.append("in", b"x")
    read_and_write(delivery, source)
    assert delivery.on_revoked([PARTITION]) == {}
    sink.waiting[0](BrokerUnavailableError("late"))
    delivery.settle()
    assert not sink.closed
    assert client.committed == {}


def test_draining_reports_what_is_left() -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery, source = start(client, lambda: sink)
    for _ in range(3):
        client.append("in", b"x")
    read_and_write(delivery, source)
    sink.waiting[0](None)
    assert delivery.drain(0.05) == 2
    assert client.committed == {("group", PARTITION): 1}


def test_writes_that_are_refused_at_once_again_and_again_are_repeated_ever_less_often() -> None:
    client = MemoryClient()
    delivery, source = start(client)
    client.append("in", b"1")
    client.failures = [BrokerUnavailableError("refused")] * 1000
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        delivery.settle()
        source.pause(delivery.is_full)
        read_and_write(delivery, source)
    assert 2 <= client.sinks_opened <= 8


def test_writes_of_which_nothing_is_heard_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.delivery.STALL_S", 0.0)
    monkeypatch.setattr("edge.outage.PATIENCE_S", 0.0)
    client, sink = MemoryClient(), SlowSink()
    delivery, source = start(client, lambda: sink)
    client.append("in", b"x")
    read_and_write(delivery, source)
    delivery.settle()
    delivery.settle()
    assert caplog.text.count("answers cannot be written, trying again (no acknowledgement)") == 1


def test_a_last_write_that_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery, source = start(client, lambda: sink)
    client.append("in", b"x")
    read_and_write(delivery, source)
    sink.waiting[0](NotAuthorisedError("no right any more"))
    assert delivery.drain(0.1) == 1
    assert "the last answers could not be written (no right any more)" in caplog.text


def test_a_producer_that_cannot_be_opened_at_the_start_is_tried_again() -> None:
    client = MemoryClient()
    sinks: list[object] = [BrokerUnavailableError("away"), client.open_sink()]
    delivery, source = start(client, partial(deal, sinks))
    assert delivery.is_full
    client.append("in", b"1")
    deadline = time.monotonic() + 10
    while delivery.is_full and time.monotonic() < deadline:
        delivery.settle()
    assert read_and_write(delivery, source) == 1


def test_answers_that_cannot_be_committed_stop_reading() -> None:
    client, sink = MemoryClient(), SlowSink()
    delivery = AtLeastOnce(lambda: sink, commit_interval_s=60.0, max_in_flight=3)
    source = client.open_source("in", "group", delivery.on_revoked)
    delivery.attach(source)
    delivery._next_commit = time.monotonic() + 60.0
    for _ in range(3):
        client.append("in", b"x")
    read_and_write(delivery, source)
    for on_done in sink.waiting:
        on_done(None)
    delivery.settle()
    assert delivery.is_full
    delivery._next_commit = 0.0
    delivery.settle()
    assert not delivery.is_full


def test_answers_of_which_no_commit_is_known_stop_reading_until_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.delivery.MAX_UNHEARD", 3)
    waiting: list[OnDone] = []
    monkeypatch.setattr(MemorySource, "commit", lambda *arguments: waiting.append(arguments[-1]))
    client = MemoryClient()
    delivery, source = start(client)
    for _ in range(3):
        client.append("in", b"x")
    read_and_write(delivery, source)
    delivery.settle()
    assert delivery.is_full
    waiting[0](None)
    assert not delivery.is_full
