"""Serves the classifier's metrics and health over HTTP: /metrics, /livez and /readyz."""

import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from edge.errors import ConfigurationError
from edge.metrics import Metrics

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a client may take, from its first byte to the last of the answer."""
MAX_CLIENTS = 8
"""Who comes while so many are served is turned away."""

_HEED_S = 0.2
"""How often the port's thread looks whether it is to end."""
_TEXT = "text/plain; charset=utf-8"

Answer = tuple[HTTPStatus, str, bytes]


class MetricsServer:
    """The port, with the metrics that are told there; it is served on threads of its own until it is closed."""

    def __init__(self, metrics: Metrics, server: "_Server") -> None:
        self.metrics = metrics
        self.port: int = server.server_address[1]
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=[_HEED_S], name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the port up."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(host: str, port: int, max_batch: int) -> MetricsServer:
    """Open the port, 0 for any that is free, for a loop that answers up to `max_batch` requests at once.

    Raises: ConfigurationError when the port cannot be opened, or prometheus-client is not installed.
    """
    try:
        from edge.exposition import CONTENT_TYPE, Exposition  # noqa: PLC0415 - an optional package
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise ConfigurationError(
            "--metrics-port needs a package that is not installed here: pip install prometheus-client"
        ) from None
    metrics = Metrics(max_batch)
    exposition = Exposition(metrics)
    pages: dict[str, Callable[[], Answer]] = {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE, exposition.render()),
        "/livez": lambda: _verdict(metrics.health.standstill),
        "/readyz": lambda: _verdict(metrics.health.obstacle),
    }
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        server = _Server(family, address, pages)
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no such address"
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({reason}): choose another --metrics-port or --metrics-host"
        ) from None
    started = MetricsServer(metrics, server)
    log.info("metrics at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, started.port)
    return started


def _verdict(fault: str | None) -> Answer:
    status = HTTPStatus.OK if fault is None else HTTPStatus.SERVICE_UNAVAILABLE
    return status, _TEXT, f"{fault or 'ok'}\n".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # On Linux this takes a port whose last connections are still closing, and none that somebody listens on.
    allow_reuse_address = True
    allow_reuse_port = False

    def __init__(self, family: socket.AddressFamily, address: Any, pages: dict[str, Callable[[], Answer]]) -> None:
        self.address_family = family
        self._free = threading.BoundedSemaphore(MAX_CLIENTS)
        super().__init__(address, partial(_Handler, pages))

    def server_bind(self) -> None:
        # HTTPServer's own would ask the resolver for this machine's name, which takes long where there is none.
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            log.debug("a client of the metrics went away", exc_info=True)
        else:
            log.exception("internal error while metrics were told: please report it with the lines below")


class _Handler(BaseHTTPRequestHandler):
    server_version = "edge.classifier"
    sys_version = ""

    def __init__(self, pages: dict[str, Callable[[], Answer]], *rest: Any) -> None:
        self._pages = pages
        super().__init__(*rest)

    def setup(self) -> None:
        """Begin the patience; a socket's own timeout would begin anew with each byte."""
        super().setup()
        self._timer = threading.Timer(PATIENCE_S, _end, [self.connection])
        self._timer.daemon = True
        self._timer.start()

    def finish(self) -> None:
        """End the patience."""
        self._timer.cancel()
        super().finish()

    def do_GET(self) -> None:
        """One of the pages, or 404."""
        page = self._pages.get(self.path.partition("?")[0])
        self._answer(*(page() if page else (HTTPStatus.NOT_FOUND, _TEXT, b"there are /metrics, /livez and /readyz\n")))

    def do_HEAD(self) -> None:
        """The same without its text."""
        self.do_GET()

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug(format, *arguments)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
