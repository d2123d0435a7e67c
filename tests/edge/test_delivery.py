"""At least once, in memory: marks and commits; the real broker's part is in tests/system."""

import random
import threading
import time

import pytest

from edge.delivery import AtLeastOnce
from edge.errors import BrokerUnavailableError
from edge.memory_client import MemoryClient, MemorySource
from edge.progress import Ledger
from edge.records import OnDone, Partition, Record
from tests.edge.at_least_once import SlowSink, read_and_write, start

PARTITION = Partition("in", 0)


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
