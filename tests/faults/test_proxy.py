"""The proxy cuts, stalls and slows: a fault that does nothing would prove nothing."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import HOST, Proxy
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
    proxy.stall()
    client.sendall(b"hello")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(100)
    proxy.heal()
    client.settimeout(10)
    assert client.recv(100) == b"hello"


def test_slow_delays_and_throttles(proxy: Proxy, client: socket.socket) -> None:
    proxy.slow(0.1, 1e9)
    started = time.monotonic()
    exchange(client)
    assert time.monotonic() - started >= 0.2
    proxy.slow(0.001, 50.0)
    started = time.monotonic()
    exchange(client)
    assert time.monotonic() - started >= 0.2
    proxy.heal()


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
