"""The port, and the web server on a thread of its own, so that the main thread hears signals as in every app."""

import asyncio
import ipaddress
import logging
import socket
import threading

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.errors import ConfigurationError
from viewer.guard import App

MAX_CONNECTIONS = 200
HEAD_S = 10.0
"""How long a connection may go without a request whose head is whole."""
CLOSE_S = 2
"""How long connections may take to end once the app was told to stop."""


def listen(host: str, port: int) -> socket.socket:
    """A socket on this address, port 0 for any that is free.

    Raises: ConfigurationError when it cannot be opened.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        opened = socket.socket(family)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no such address"
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({reason}): choose another --port or --host"
        ) from None
    return opened


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on this address, or name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Impatient(H11Protocol):  # type: ignore[misc] # mypy runs where uvicorn is not
    """uvicorn waits for ever for the first request, and for the rest of one that comes byte by byte."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._last = self.cycle
        self._next = self.loop.call_later(HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering and self.cycle is self._last:
            self.transport.close()
            return
        self._last = self.cycle
        self._next = self.loop.call_later(HEAD_S, self._look)


class Server:
    """Serves from its making until it is closed."""

    def __init__(self, app: App, opened: socket.socket) -> None:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            http=_Impatient,
            loop="asyncio",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=CLOSE_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=[[opened]], name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the connections, and give the port up."""
        self._server.should_exit = True
        self._thread.join(CLOSE_S + 3)
