"""Sending on the thread that writes: when it may, what it sends, and what is left to the sender's own thread."""

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport

from edge.kafka_sender import FEW, SharedSelector, SharedSender
from tests.system.processes import wait_until


class Bench:
    """A sender whose thread is the test's: it waits, or not, and its only connection is a pair of sockets."""

    def __init__(self) -> None:
        self.net = NetworkSelector(selector=SharedSelector)
        self.ours, self.peer = socket.socketpair()
        self.ours.setblocking(False)
        self.transport = KafkaTCPTransport(self.net, self.ours)
        self.wakeups = 0
        self.is_undrained = False
        self.appended: list[bytes] = []
        self.raises: Exception | None = None
        self.state = {
            "is_transactional": False,
            "has_error": False,
            "has_producer_id": True,
            "is_bumping_epoch": False,
            "has_in_flight_transactional_request": False,
        }
        connection = SimpleNamespace(transport=self.transport)
        connecting = SimpleNamespace(transport=None)
        manager = SimpleNamespace(_net=self.net, _conns={1: connection, 2: connecting})
        sender = SimpleNamespace(
            _client=SimpleNamespace(_manager=manager), wakeup=self.wake_up, _send_producer_data=self.send_data
        )
        transactions = SimpleNamespace(**{name: lambda name=name: self.state[name] for name in self.state})
        accumulator = SimpleNamespace(has_undrained=lambda: self.is_undrained)
        self.shared = SharedSender(
            SimpleNamespace(_sender=sender, _accumulator=accumulator, _transaction_manager=transactions)
        )
        self.net._selector.idle.release()

    def wake_up(self) -> None:
        self.wakeups += 1

    def send_data(self) -> None:
        if self.raises is not None:
            raise self.raises
        assert self.net._selector.idle.locked()
        while self.appended:
            self.transport.write(self.appended.pop(0))

    def received(self, size: int) -> bytes:
        """What came out at the other end, while the sender's thread does its part."""
        data = b""
        self.peer.settimeout(10)
        self.net._selector.idle.acquire()
        while len(data) < size:
            self.net.poll(timeout_ms=0)
            data += self.peer.recv(size - len(data))
        return data


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.ours.close()
    bench.peer.close()
    bench.net._closed = True
    for name in ("_wakeup_r", "_wakeup_w", "_selector"):
        getattr(bench.net, name).close()


def test_while_the_senders_thread_waits_the_writer_sends_and_wakes_nobody(bench: Bench) -> None:
    bench.appended = [b"one", b"two"]
    bench.shared.send(FEW)
    bench.peer.settimeout(10)
    assert (bench.peer.recv(100), bench.wakeups) == (b"onetwo", 0)
    assert not bench.net._selector.idle.locked()


def test_while_the_senders_thread_works_it_is_woken(bench: Bench) -> None:
    bench.appended = [b"one"]
    with bench.net._selector.idle:
        bench.shared.send(1)
    assert (bench.appended, bench.wakeups) == ([b"one"], 1)


def test_a_backlog_is_left_to_the_senders_thread(bench: Bench) -> None:
    bench.appended = [b"one"]
    bench.shared.send(FEW + 1)
    assert (bench.appended, bench.wakeups) == ([b"one"], 1)


@pytest.mark.parametrize(
    "state",
    [
        {"is_transactional": True},
        {"has_error": True},
        {"has_producer_id": False},
        {"is_bumping_epoch": True},
        {"has_in_flight_transactional_request": True},
    ],
    ids=lambda state: next(iter(state)),
)
def test_what_must_come_first_is_left_to_the_senders_thread(bench: Bench, state: dict[str, bool]) -> None:
    bench.appended = [b"one"]
    bench.state.update(state)
    bench.shared.send(1)
    assert (bench.appended, bench.wakeups) == ([b"one"], 1)


def test_what_cannot_be_sent_yet_is_left_to_the_senders_thread(bench: Bench) -> None:
    bench.is_undrained = True
    bench.shared.send(1)
    assert bench.wakeups == 1


def test_what_does_not_fit_into_the_socket_is_left_in_order(bench: Bench) -> None:
    whole = bytes(range(256)) * 40_000
    bench.appended = [whole, b"end"]
    bench.shared.send(1)
    assert bench.wakeups == 1
    assert bench.received(len(whole) + 3) == whole + b"end"


def test_what_a_broken_connection_does_not_take_is_kept_for_its_own_thread_to_fail(bench: Bench) -> None:
    bench.peer.close()
    bench.appended = [b"one"]
    bench.shared.send(1)
    assert (list(bench.transport._write_buffer), bench.wakeups) == ([b"one"], 1)
    bench.net._selector.idle.acquire()
    bench.net.poll(timeout_ms=0)
    bench.net.poll(timeout_ms=0)
    assert bench.transport.is_closing()


def test_an_error_of_kafka_python_is_told_and_left_to_its_own_thread(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.raises = RuntimeError("strange")
    bench.shared.send(1)
    assert "strange" in caplog.text
    assert (bench.wakeups, bench.net._selector.idle.locked()) == (1, False)


def test_a_kafka_python_without_what_is_used_here_fails_at_the_start() -> None:
    producer = SimpleNamespace(_sender=SimpleNamespace(), _accumulator=None)
    with pytest.raises(AttributeError, match="_send_producer_data"):
        SharedSender(producer)


def test_the_senders_thread_goes_on_only_when_the_writer_is_done() -> None:
    net = NetworkSelector(selector=SharedSelector)
    idle = net._selector.idle
    done: list[str] = []

    def poll() -> None:
        net.poll(timeout_ms=10_000)
        done.append("sender")

    thread = threading.Thread(target=poll)
    thread.start()
    wait_until(lambda: not idle.locked(), "the sender's wait")
    with idle:
        net.call_soon(lambda: done.append("task"))
        net.wakeup()
        thread.join(0.05)
        done.append("writer")
    thread.join(10)
    assert done == ["writer", "task", "sender"]
    net.close()


def test_no_one_else_gets_in_before_the_thread_first_waits() -> None:
    selector: Any = SharedSelector()
    assert selector.idle.locked()
    selector.close()
