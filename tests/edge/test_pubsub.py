"""The ten-line API on the in-memory client; on a real broker it is in tests/system."""

import logging

import pytest

from edge import outage
from edge import pubsub as pubsub_module
from edge.errors import BrokerUnavailableError, NotAuthorisedError
from edge.memory_client import MemoryClient, MemorySink
from edge.pubsub import PubSub
from edge.records import OnDone, Partition


def test_what_is_written_is_read_in_order_and_committed() -> None:
    client = MemoryClient()
    with PubSub(client) as pubsub:
        assert pubsub.create_topic("greetings") is True
        assert pubsub.create_topic("greetings") is False
        for number in range(1200):
            pubsub.write("greetings", str(number).encode(), b"key", [("a", b"b")])
        pubsub.flush()
        records = list(pubsub.subscribe("greetings", "readers", limit=1200))
    assert [record.value for record in records] == [str(n).encode() for n in range(1200)]
    assert {(record.key, record.headers) for record in records} == {(b"key", (("a", b"b"),))}
    assert client.committed == {("readers", Partition("greetings", 0)): 1200}


def test_a_record_counts_as_read_when_the_next_one_is_asked_for() -> None:
    client = MemoryClient()
    for value in (b"1", b"2", b"3"):
        client.append("t", value)
    with PubSub(client) as pubsub:
        for record in pubsub.subscribe("t", "g"):
            if record.value == b"2":
                break
    assert client.committed == {("g", Partition("t", 0)): 1}
    with PubSub(client) as pubsub:
        assert [record.value for record in pubsub.subscribe("t", "g", limit=2)] == [b"2", b"3"]


def test_a_failed_write_is_raised_by_what_comes_next() -> None:
    client = MemoryClient()
    client.failures.append(BrokerUnavailableError("gone"))
    pubsub = PubSub(client)
    pubsub.write("t", b"1")
    with pytest.raises(BrokerUnavailableError, match="gone"):
        pubsub.write("t", b"2")
    pubsub.write("t", b"3")
    with pytest.raises(BrokerUnavailableError, match="gone"):
        pubsub.close()


class SilentSink(MemorySink):
    """A sink into which writes vanish, as in an outage."""

    def write(self, *_: object) -> None:
        pass


def test_credentials_that_are_revoked_end_the_wait_for_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.pubsub.SILENCE_S", 0.05)
    client = MemoryClient()
    monkeypatch.setattr(client, "open_sink", lambda: SilentSink(client))
    pubsub = PubSub(client)
    pubsub.write("t", b"1")
    client.fault = BrokerUnavailableError("away: it may come back")
    with pytest.raises(BrokerUnavailableError, match="not acknowledged in time"):
        pubsub.flush(0.3)
    monkeypatch.setattr("edge.pubsub.LOOK_S", 0.0)
    pubsub._next_look, client.fault = 0.0, NotAuthorisedError("revoked")
    with pytest.raises(NotAuthorisedError, match="revoked"):
        pubsub.flush()


def test_a_failed_write_does_not_end_a_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pubsub_module, "SILENCE_S", 0.0)
    monkeypatch.setattr(outage, "PATIENCE_S", 0.0)
    caplog.set_level(logging.INFO, "edge")
    client = MemoryClient()
    waiting: list[OnDone] = []
    monkeypatch.setattr(MemorySink, "write", lambda *arguments: waiting.append(arguments[-1]))
    pubsub = PubSub(client)
    pubsub.write("t", b"1")
    with pytest.raises(BrokerUnavailableError, match="not acknowledged in time"):
        pubsub.flush(0.0)
    assert "acknowledges nothing" in caplog.text
    waiting[0](BrokerUnavailableError("given up"))
    with pytest.raises(BrokerUnavailableError, match="given up"):
        pubsub.flush()
    assert "acknowledges again" not in caplog.text
