"""The proxy cuts, stalls and slows: a fault that does nothing would prove nothing."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import HEAD, HOST, PRODUCE, Proxy
from tests.system.processes import wait_until


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(client,), daemon=True).start()


def _echo(client: socket.socket) -> None:
    with client:
        try:
            while chunk := client.recv(4096):
                client.sendall(chunk)
        except ConnectionError:
            return


@pytest.fixture
def proxy(echo_port: int) -> Iterator[Proxy]:
    with socket.create_server((HOST, 0)) as found:
        port = found.getsockname()[1]
    with Proxy(port, echo_port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port)) as client:
        client.settimeout(10)
        assert exchange(client) == b"hello"
        yield client


def exchange(client: socket.socket) -> bytes:
    client.sendall(b"hello")
    return client.recv(100)


def test_a_cut_resets_connections_and_lets_new_ones_in(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    with socket.create_connection((HOST, proxy.port)) as again:
        assert exchange(again) == b"hello"


def test_a_stall_keeps_the_connection_and_what_was_sent(proxy: Proxy, client: socket.socket) -> None:
    with proxy.stalled():
        client.sendall(b"hello")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
    client.settimeout(10)
    assert client.recv(100) == b"hello"


def frame(key: int, body: bytes = b"") -> bytes:
    return HEAD.pack(2 + len(body), key) + body


def test_a_stall_of_writes_leaves_other_connections_alone(proxy: Proxy) -> None:
    with (
        socket.create_connection((HOST, proxy.port)) as consumer,
        socket.create_connection((HOST, proxy.port)) as producer,
    ):
        with proxy.writes_stalled():
            for client, key in ((consumer, 1), (producer, PRODUCE)):
                client.settimeout(10)
                # Split where a packet may be: in the middle of a head.
                sent = frame(18, bytes(30)) + frame(key)
                client.sendall(sent[:38])
                assert len(client.recv(38, socket.MSG_WAITALL)) == 38
                client.sendall(sent[38:])
            assert consumer.recv(100) == frame(1)[2:]
            producer.settimeout(0.2)
            with pytest.raises(TimeoutError):
                producer.recv(100)
        producer.settimeout(10)
        assert producer.recv(100) == frame(PRODUCE)[2:]


def test_slowed_writes_leave_other_connections_alone(proxy: Proxy) -> None:
    took = {}
    for key in (1, PRODUCE):
        with socket.create_connection((HOST, proxy.port)) as client, proxy.writes_slowed(1.0):
            started = time.monotonic()
            client.sendall(frame(key))
            assert client.recv(100) == frame(key)
            took[key] = time.monotonic() - started
    assert took[1] < 2.0 <= took[PRODUCE]


@pytest.mark.parametrize(("delay_s", "bytes_per_s"), [(0.1, 1e9), (0.001, 50.0)])
def test_slow_delays_and_throttles(proxy: Proxy, client: socket.socket, delay_s: float, bytes_per_s: float) -> None:
    with proxy.slowed(delay_s, bytes_per_s):
        started = time.monotonic()
        assert exchange(client) == b"hello"
        assert time.monotonic() - started >= 0.2


def test_the_end_of_one_side_reaches_the_other(proxy: Proxy, client: socket.socket) -> None:
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b"last"
    assert client.recv(100) == b""
    wait_until(lambda: not proxy._links, "the end of the connection")


def test_without_a_broker_connections_are_reset(proxy: Proxy, echo_port: int) -> None:
    with socket.create_server((HOST, 0)) as found:
        port = found.getsockname()[1]
    with Proxy(port, echo_port) as other:
        other._target_port = 1
        with socket.create_connection((HOST, port)) as client, pytest.raises(ConnectionResetError):
            client.recv(100)
