"""Just enough of Kafka's protocol to ask a broker on a socket of its own what it wants; every answer is bounded."""

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from edge.errors import BrokerUnavailableError

MAX_ANSWER_BYTES = 1024 * 1024
MAX_ITEMS = 10_000
VERDICT_S = 0.2
CLIENT_ID = "onnx-kafka-edge-probe"


class ClosedError(Exception):
    """The other end closed the connection instead of answering: what that means depends on what was asked."""


def host_and_port(server: str) -> tuple[str, str]:
    """What `host:port` names, as a socket takes the host: without the brackets of IPv6, and the last dot of a name."""
    host, _, port = server.rpartition(":")
    return host.strip("[]").rstrip("."), port


class Channel:
    """One connection to one server, which is given up at `deadline` (of the monotonic clock).

    Raises: BrokerUnavailableError when it cannot be connected, does not answer in time, or not in Kafka's protocol.
    """

    def __init__(self, server: str, deadline: float) -> None:
        self.server = server
        self.host, port = host_and_port(server)
        self._deadline = deadline
        try:
            self._socket = socket.create_connection((self.host, int(port)), self._left_s())
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BrokerUnavailableError(f"no Kafka broker at {server} ({reason})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()

    def encrypt(self, context: ssl.SSLContext) -> None:
        """The TLS handshake; raises ssl.SSLError, too."""
        with self._in_time():
            self._socket = context.wrap_socket(self._socket, server_hostname=self.host)
            self._await_verdict()

    @property
    def certificate(self) -> Mapping[str, Any]:
        """The server's certificate, in the words of `ssl.SSLSocket.getpeercert`; empty without TLS."""
        return (self._socket.getpeercert() or {}) if isinstance(self._socket, ssl.SSLSocket) else {}

    def ask(self, api: int, version: int, body: bytes) -> "Answer":
        """One request and its answer."""
        client = CLIENT_ID.encode()
        request = struct.pack(">hhih", api, version, api, len(client)) + client + body
        with self._in_time():
            self._socket.sendall(struct.pack(">i", len(request)) + request)
            answer = Answer(self.server, self._receive(struct.unpack(">i", self._receive(4))[0]))
        if answer.number(4) != api:
            raise not_kafka(self.server)
        return answer

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        """Talk until the deadline at most; an ssl.SSLError that is no mere end of the connection goes through."""
        try:
            self._socket.settimeout(self._left_s())
            yield
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
            raise ClosedError from None
        except ssl.SSLError:
            raise
        except OSError:
            raise self._unanswered() from None

    def _await_verdict(self) -> None:
        """Give a server of TLS 1.3 the time to refuse our certificate, which it does after the handshake.

        Once we had written, its refusal could be lost with the connection. A server that accepts sends a ticket.
        """
        if not isinstance(self._socket, ssl.SSLSocket) or self._socket.version() != "TLSv1.3":
            return
        select.select([self._socket], [], [], min(VERDICT_S, self._left_s()))
        self._socket.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self._socket.recv(1):
                raise ClosedError
            raise not_kafka(self.server)

    def _receive(self, size: int) -> bytes:
        if not 0 <= size <= MAX_ANSWER_BYTES:
            raise not_kafka(self.server)
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(self._left_s())
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                raise ClosedError
            data += chunk
        return bytes(data)

    def _left_s(self) -> float:
        # A timeout of 0 would mean not to wait at all, and is another error.
        return max(0.001, self._deadline - time.monotonic())

    def _unanswered(self) -> BrokerUnavailableError:
        return BrokerUnavailableError(f"no Kafka broker at {self.server} (it accepts connections and does not answer)")


class Answer:
    """An answer, read from front to back."""

    def __init__(self, server: str, data: bytes) -> None:
        self._server = server
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        """A signed integer of so many bytes."""
        return int.from_bytes(self._take(size), "big", signed=True)

    def text(self) -> str:
        """A string, empty when it is null; nothing in it can steer a terminal."""
        size = self.number(2)
        text = "" if size == -1 else self._take(size).decode("utf-8", "replace")
        return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

    def blob(self) -> bytes:
        """Bytes, empty when they are null."""
        size = self.number(4)
        return b"" if size == -1 else self._take(size)

    def count(self) -> int:
        """How many items follow."""
        count = self.number(4)
        if not 0 <= count <= MAX_ITEMS:
            raise not_kafka(self._server)
        return count

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._data) - self._at:
            raise not_kafka(self._server)
        self._at += size
        return self._data[self._at - size : self._at]


def pack_text(text: str) -> bytes:
    """A string as Kafka writes it."""
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def pack_blob(data: bytes) -> bytes:
    """Bytes as Kafka writes them."""
    return struct.pack(">i", len(data)) + data


def not_kafka(server: str) -> BrokerUnavailableError:
    """What listens there speaks another protocol."""
    return BrokerUnavailableError(f"no Kafka broker at {server} (what listens there does not answer like one)")
