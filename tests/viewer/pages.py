"""Runs the viewer as its user does, and asks it over HTTP."""

import contextlib
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

from tests.system.processes import Process, wait_until
from tests.system.wire import Wire

HOST = "127.0.0.1"
ASSIGNED = re.compile(r"partitions assigned: (?!none)")
READY = re.compile(r"viewer ready on (http://\S+?):(\d+)/(?:\?token=(\S+))?$")


class Viewer(Process):
    """`python -m viewer` on a test's topics, from when it is ready on."""

    def __init__(self, wire: Wire, *options: str, port: int = 0, **environment: str) -> None:
        topics = ["--request-topic", wire.requests, "--prediction-topic", wire.predictions]
        cluster = ["--bootstrap-servers", wire.servers, "--dead-letter-topic", wire.dead_letters]
        super().__init__("viewer", *cluster, *topics, "--port", str(port), *options, **environment)
        self.port = port
        self.token: str | None = None

    def __enter__(self) -> Self:
        wait_until(lambda: bool(self.lines) or self.process.poll() is not None, "the viewer's ready line")
        ready = READY.match(self.lines[0]) if self.lines else None
        assert ready is not None, self.log
        self.port, self.token = int(ready[2]), ready[3]
        wait_until(lambda: len(ASSIGNED.findall(self.log)) >= 3, "the viewer's partitions")
        return self

    @property
    def origin(self) -> str:
        """What a browser calls it."""
        return f"http://{HOST}:{self.port}"

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers of an answer; underscores in names of headers stand for hyphens."""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=20)) as connection:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            lowered = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read().decode(), lowered

    def send(self, name: str, body: bytes = bytes(784), **headers: str) -> tuple[int, str]:
        """Send a picture as the page does."""
        own = {"Origin": self.origin, "Content_Type": "application/octet-stream", **headers}
        status, text, _ = self.ask(f"/requests/{name}", "POST", body, **own)
        return status, text

    @contextlib.contextmanager
    def events(self, **headers: str) -> Iterator["Events"]:
        """The stream of events, until the context is left."""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=20)) as connection:
            connection.request("GET", "/events", headers={k.replace("_", "-"): v for k, v in headers.items()})
            yield Events(connection.getresponse())


class Events:
    """Reads server-sent events; `last_id` is of the last one that was read."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.last_id = ""
        self._answer = answer

    def next(self, *names: str, timeout_s: float = 30.0) -> Any:
        """The document of the next event of one of these names."""
        deadline = time.monotonic() + timeout_s
        name = ""
        while time.monotonic() < deadline:
            line = self._answer.readline()
            assert line, "the stream has ended"
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data" and name in names:
                return json.loads(value)
        raise AssertionError(f"no event of {names} came within {timeout_s:.0f} s")

    def ends(self) -> bool:
        """Whether the server ends the stream."""
        while self._answer.readline():
            pass
        return True
