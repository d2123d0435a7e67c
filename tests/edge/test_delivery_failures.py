"""At least once when writes fail: what is done again, what is raised, and what is told."""

import time
from functools import partial

import pytest

from edge.errors import BrokerUnavailableError, ConfigurationError, NotAuthorisedError
from edge.memory_client import MemoryClient
from edge.records import Encoded, Partition
from tests.edge.at_least_once import SlowSink, read_and_write, start

PARTITION = Partition("in", 0)


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
