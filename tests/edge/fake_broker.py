"""A server on a socket that behaves like a broker with a fault that a real one cannot be made to have."""

import base64
import contextlib
import hashlib
import hmac
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

Handler = Callable[[socket.socket], None]
"""Serves one connection, which is closed when it returns."""

VERSIONS = struct.pack(">hi", 0, 1) + struct.pack(">hhh", 18, 0, 4)
"""An answer to ApiVersions."""


def metadata(port: int, host: bytes = b"localhost") -> bytes:
    """An answer to Metadata: one broker, no topic."""
    broker = struct.pack(">ih", 1, len(host)) + host + struct.pack(">ih", port, -1)
    return struct.pack(">i", 1) + broker + struct.pack(">ii", 1, 0)


@contextlib.contextmanager
def serve(handler: Handler, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """`localhost:port` of a server that gives each connection to `handler`, encrypted if it has a context."""

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                if context is None:
                    handler(connection)
                else:
                    with context.wrap_socket(connection, server_side=True) as encrypted:
                        handler(encrypted)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"localhost:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def receive(connection: socket.socket) -> tuple[int, bytes]:
    """The next request: its API and its body."""
    size = struct.unpack(">i", _exactly(connection, 4))[0]
    if size > 1_000_000:
        raise ConnectionResetError  # as a broker does with the first bytes of a TLS handshake
    request = _exactly(connection, size)
    api, _, _, client = struct.unpack(">hhih", request[:10])
    return api, request[10 + client :]


def answer(connection: socket.socket, api: int, body: bytes) -> None:
    """Send an answer; the probe numbers its requests by their API."""
    connection.sendall(struct.pack(">ii", 4 + len(body), api) + body)


def answering(bodies: dict[int, bytes]) -> Handler:
    """Answers each API with a fixed body, Metadata with itself, and closes on any other."""

    def handle(connection: socket.socket) -> None:
        own = {3: metadata(connection.getsockname()[1]), **bodies}
        while (api := receive(connection)[0]) in own:
            if not own[api]:
                return
            answer(connection, api, own[api])

    return handle


def scram(
    password: str, iterations: int = 4096, nonce_prefix: str | None = None, signs_as: str | None = None
) -> Handler:
    """A SCRAM-SHA-256 server, which may be one that does not know the password it `signs_as`."""

    def handle(connection: socket.socket) -> None:
        answer(connection, receive(connection)[0], VERSIONS)
        answer(connection, receive(connection)[0], struct.pack(">hih13s", 0, 1, 13, b"SCRAM-SHA-256"))
        bare = _token(connection).removeprefix(b"n,,")
        nonce = (nonce_prefix if nonce_prefix is not None else bare.split(b"r=")[1].decode()) + "more"
        first = f"r={nonce},s={base64.b64encode(b'salt').decode()},i={iterations}".encode()
        _give(connection, first)
        without_proof = _token(connection).rpartition(b",p=")[0]
        salted = hashlib.pbkdf2_hmac("sha256", (signs_as or password).encode(), b"salt", iterations)
        key = hmac.digest(salted, b"Server Key", "sha256")
        signature = hmac.digest(key, b",".join([bare, first, without_proof]), "sha256")
        _give(connection, b"v=" + base64.b64encode(signature))
        answer(connection, receive(connection)[0], metadata(connection.getsockname()[1]))

    return handle


def _token(connection: socket.socket) -> bytes:
    return receive(connection)[1][4:]


def _give(connection: socket.socket, token: bytes) -> None:
    answer(connection, 36, struct.pack(">hhi", 0, -1, len(token)) + token)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data
