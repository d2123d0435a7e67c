"""From a spool to Kafka: in order, whatever the broker does; on the in-memory client."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge import forward, outage
from edge.errors import BadDataError, BrokerUnavailableError, NotAuthorisedError
from edge.forward import Connect
from edge.memory_client import MemoryClient, MemorySink
from edge.outbox import Bounds
from edge.records import Client, Encoded, OnDone
from edge.sensed import Sensed
from edge.spool import Spool
from edge.spooled import Spooled
from tests.system.processes import wait_until

TOPIC = "prediction_request"


def image(number: int) -> Sensed:
    return Sensed(str(number), 1000 + number, b"camera", bytes([number % 256]))


def opened(directory: Path, client: Client, connect: Connect | None = None) -> Spooled:
    return Spooled(directory, Bounds(), connect or (lambda _: client), TOPIC, 5.0, threading.Event())


def arrived(client: MemoryClient) -> list[str]:
    return [dict(record.headers)["request-id"].decode() for record in list(client.topics[TOPIC])]  # type: ignore[union-attr]


def firsts(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge")
    monkeypatch.setattr(outage, "PATIENCE_S", 0.0)
    monkeypatch.setattr(outage, "LAST_RETRY_S", 0.05)


def test_images_go_out_in_order_with_the_id_and_moment_of_their_sensing(tmp_path: Path) -> None:
    client = MemoryClient()
    with opened(tmp_path, client) as outbox:
        for number in range(300):
            assert outbox.offer(image(number))
        assert list(outbox.accepted()) == [str(n) for n in range(300)]
        assert list(outbox.accepted()) == []
        outbox.finish(is_whole=True)
    assert arrived(client) == [str(n) for n in range(300)]
    record = client.topics[TOPIC][7]
    assert (record.key, record.value) == (b"camera", b"\7")
    assert list(record.headers) == [("request-id", b"7"), ("created-ns", b"1007")]
    assert outbox.summary == (
        "300 images sensed: 300 stored, 0 not accepted; 300 sent and acknowledged, 0 dropped, 0 left in the spool"
    )


def test_a_sender_with_nothing_to_do_waits_for_news_alone(tmp_path: Path) -> None:
    client = MemoryClient()
    with opened(tmp_path, client) as outbox:
        for number in range(3):
            assert outbox.offer(image(number))
            # A single image is deleted when its second is over, without a further word.
            wait_until(lambda: outbox._spool.left == 0, "the image's deletion")
            assert outbox._forwarder._patience_s is None
    assert arrived(client) == ["0", "1", "2"]


def test_a_broker_that_comes_late_is_told_of_once_and_gets_what_was_stored_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client, tries = MemoryClient(), []
    is_there = threading.Event()

    def connect(_: threading.Event) -> Client:
        tries.append(1)
        if not is_there.is_set():
            raise BrokerUnavailableError("no broker yet")
        return client

    with opened(tmp_path, client, connect) as outbox:
        for number in range(100):
            assert outbox.offer(image(number))
        wait_until(lambda: len(tries) > 3, "some tries")
        assert (arrived(client), len(list(outbox.accepted()))) == ([], 100)
        is_there.set()
        outbox.finish(is_whole=True)
    assert arrived(client) == [str(n) for n in range(100)]
    away = [m for m in caplog.messages if "Kafka takes no images, which stay in the spool (no broker yet)" in m]
    back = [m for m in caplog.messages if "images go from the spool to Kafka again after" in m]
    assert (len(away), len(back)) == (1, 1)


def test_a_failed_write_is_repeated_by_a_new_producer_and_nothing_is_lost(tmp_path: Path) -> None:
    client = MemoryClient()
    client.failures = [BrokerUnavailableError("gone"), BrokerUnavailableError("gone again")]
    with opened(tmp_path, client) as outbox:
        for number in range(200):
            assert outbox.offer(image(number))
        outbox.finish(is_whole=True)
    assert firsts(arrived(client)) == [str(n) for n in range(200)]
    assert client.sinks_opened == 3


def test_what_was_not_sent_goes_out_after_the_next_start(tmp_path: Path) -> None:
    def nobody(_: threading.Event) -> Client:
        raise BrokerUnavailableError("nobody there")

    client = MemoryClient()
    with opened(tmp_path, client, nobody) as outbox:
        outbox._patience_s = 0.2
        for number in range(3):
            outbox.offer(image(number))
        with pytest.raises(BrokerUnavailableError, match="start again with this --spool"):
            outbox.finish(is_whole=True)
        # One that is stopped has done what it should.
        outbox.finish(is_whole=False)
    assert outbox.summary.endswith("3 stored, 0 not accepted; 0 sent and acknowledged, 0 dropped, 3 left in the spool")
    with opened(tmp_path, client) as outbox:
        outbox.offer(image(3))
        outbox.finish(is_whole=True)
    assert arrived(client) == ["0", "1", "2", "3"]


def test_a_refusal_that_no_waiting_mends_is_raised_and_the_images_stay(tmp_path: Path) -> None:
    client = MemoryClient()
    client.failures = [NotAuthorisedError("no right")]
    with opened(tmp_path, client) as outbox:
        outbox.offer(image(0))
        wait_until(lambda: outbox._forwarder.error is not None, "the refusal")
        with pytest.raises(NotAuthorisedError, match="no right"):
            outbox.check()
        with pytest.raises(NotAuthorisedError, match="no right"):
            outbox.offer(image(1))
        with pytest.raises(NotAuthorisedError, match="no right"):
            outbox.finish(is_whole=False)
    spool = Spool(tmp_path)
    assert [sensed for _, sensed in spool.take(9, 99)] == [image(0)]
    spool.close()


class HeldSink(MemorySink):
    """A sink whose acknowledgements wait until they are let out."""

    def __init__(self, client: MemoryClient, held: list[Callable[[], None]]) -> None:
        super().__init__(client)
        self._held = held

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        self._held.append(lambda: super(HeldSink, self).write_all(topic, batch, on_done))


def test_many_are_on_their_way_at_once_and_none_is_deleted_before_its_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, held = MemoryClient(), list[Callable[[], None]]()
    monkeypatch.setattr(client, "open_sink", lambda: HeldSink(client, held))
    with opened(tmp_path, client) as outbox:
        for number in range(1000):
            outbox.offer(image(number))
        # 512 of them, in writes of up to 64.
        wait_until(lambda: sum(outbox._forwarder._flying.values()) == forward.FLIGHT_IMAGES, "a full flight")
        assert outbox._spool.left == 1000
        let_out = 0
        while outbox._spool.left:
            wait_until(lambda: len(held) > let_out or outbox._spool.left == 0, "the next write")  # noqa: B023
            if len(held) > let_out:
                held[let_out]()
                let_out += 1
    assert arrived(client) == [str(n) for n in range(1000)]


def test_a_silence_is_told_once_and_one_for_which_there_is_a_reason_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forward, "SILENCE_S", 0.05)
    monkeypatch.setattr(forward, "LOOK_S", 0.05)
    monkeypatch.setattr(forward, "STOP_TIMEOUT_S", 0.2)
    client, held = MemoryClient(), list[Callable[[], None]]()
    monkeypatch.setattr(client, "open_sink", lambda: HeldSink(client, held))
    with opened(tmp_path, client) as outbox:
        outbox.offer(image(0))
        wait_until(lambda: "stay in the spool (no acknowledgement)" in caplog.text, "the line")
        client.fault = BrokerUnavailableError("away: it may come back")
        held.pop()()
        wait_until(lambda: outbox._spool.left == 0, "the acknowledgement")
        assert "images go from the spool to Kafka again" in caplog.text
        outbox.offer(image(1))
        wait_until(lambda: "stay in the spool (away: it may come back)" in caplog.text, "the line")
        client.fault = NotAuthorisedError("revoked")
        wait_until(lambda: outbox._forwarder.error is not None, "the reason")
        with pytest.raises(NotAuthorisedError, match="revoked"):
            outbox.finish(is_whole=True)
        # What comes late counts all the same.
        held.pop()()
    assert arrived(client) == ["0", "1"]


def test_an_image_that_no_record_holds_is_not_stored(tmp_path: Path) -> None:
    with opened(tmp_path, MemoryClient()) as outbox:
        with pytest.raises(BadDataError, match="1,000,001 bytes, which is more than a Kafka record holds"):
            outbox.offer(Sensed("large", 0, None, bytes(1_000_001)))
        assert outbox._spool.left == 0
