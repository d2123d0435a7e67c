"""A TCP proxy between an app and its broker, which cuts, stalls or slows what flows."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

HOST = "127.0.0.1"
CHUNK = 16 * 1024
HEAD, KEY_BYTES, PRODUCE = struct.Struct(">ih"), 2, 0
"""How a request of Kafka's protocol begins: its size without these four bytes, and its key."""


class Proxy:
    """Forwards connections from `port` to a broker's port, as well as its settings let it."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self.connections = 0
        self._target_port = target_port
        self._flows, self._writes_flow = threading.Event(), threading.Event()
        self._flows.set()
        self._writes_flow.set()
        self._delay_s, self._bytes_per_s, self._write_delay_s = 0.0, 1.0, 0.0
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._listener = socket.create_server((HOST, port), backlog=128)
        self._is_closed = False
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Reset all connections; new ones are let in."""
        with self._lock:
            cut, self._links = self._links, set()
        for link in cut:
            link.reset()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Let no byte through for as long as the context; connections stay, and new ones are let in."""
        with _cleared(self._flows):
            yield

    @contextlib.contextmanager
    def writes_stalled(self) -> Iterator[None]:
        """The same for connections that carry Produce requests: what else there is, such as commits, goes on."""
        with _cleared(self._writes_flow):
            yield

    @contextlib.contextmanager
    def writes_slowed(self, delay_s: float) -> Iterator[None]:
        """Delay each piece of the same connections, in either direction."""
        self._write_delay_s = delay_s
        try:
            yield
        finally:
            self._write_delay_s = 0.0

    @contextlib.contextmanager
    def slowed(self, delay_s: float, bytes_per_s: float) -> Iterator[None]:
        """Delay each piece of up to 16 KB, in either direction, and throttle each connection."""
        self._delay_s, self._bytes_per_s = delay_s, bytes_per_s
        try:
            yield
        finally:
            self._delay_s = 0.0

    def close(self) -> None:
        """Reset all connections, and listen no more."""
        self._is_closed = True
        # Closing alone would not wake the thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue
            try:
                broker = socket.create_connection((HOST, self._target_port))
            except OSError:
                _reset(client)  # as if nobody listened
                continue
            link = _Link(client, broker)
            with self._lock:
                self._links.add(link)
                self.connections += 1
            for source, target in ((client, broker), (broker, client)):
                threading.Thread(target=self._pump, args=(link, source, target), name="proxy-pump", daemon=True).start()

    def _pump(self, link: "_Link", source: socket.socket, target: socket.socket) -> None:
        try:
            while chunk := source.recv(CHUNK):
                if self._delay_s:
                    time.sleep(self._delay_s + len(chunk) / self._bytes_per_s)
                if source is link.client:
                    link.note(chunk)
                self._flows.wait()
                if link.is_producer:
                    time.sleep(self._write_delay_s)
                    self._writes_flow.wait()
                target.sendall(chunk)
            if not link.is_reset:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            link.reset()  # one side has reset the connection, or `cut` has
        if link.is_over():
            with self._lock:
                self._links.discard(link)


class _Link:
    """One connection: both of its sockets, each read by one thread."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self.client = client
        self.is_producer = False
        self.is_reset = False
        self._ends = (client, broker)
        self._head, self._left = bytearray(), 0
        self._readers = 2
        self._lock = threading.Lock()
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def note(self, chunk: bytes) -> None:
        """Follow the client's requests, each of a size, a key and the rest, and note whether one was a Produce."""
        while chunk:
            if self._left:
                skipped = min(self._left, len(chunk))
                self._left -= skipped
            else:
                skipped = HEAD.size - len(self._head)
                self._head += chunk[:skipped]
                if len(self._head) == HEAD.size:
                    size, key = HEAD.unpack(self._head)
                    self.is_producer |= key == PRODUCE
                    self._head, self._left = bytearray(), size - KEY_BYTES
            chunk = chunk[skipped:]

    def reset(self) -> None:
        self.is_reset = True
        for end in self._ends:
            _reset(end)

    def is_over(self) -> bool:
        """Called by each reader at its end; the last one closes both sockets."""
        with self._lock:
            self._readers -= 1
            if self._readers:
                return False
        for end in self._ends:
            end.close()
        return True


@contextlib.contextmanager
def _cleared(event: threading.Event) -> Iterator[None]:
    event.clear()
    try:
        yield
    finally:
        event.set()


def _reset(end: socket.socket) -> None:
    """Close with a RST: SHUT_RD sends nothing, but wakes the thread that reads, which would keep the socket alive."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RD)
    end.close()
