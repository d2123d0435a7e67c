"""What the viewer's server answers to whom, over a real Kafka."""

import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.codec import CREATED_NS, REQUEST_ID, header
from localkafka import LocalKafka
from tests.dripping import is_ended
from tests.recorder import read_all
from tests.system.processes import wait_until
from tests.system.wire import Wire, wire_on
from tests.viewer.pages import HOST, Viewer

pytestmark = pytest.mark.kafka

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def topics(kafka: LocalKafka) -> Wire:
    return wire_on(kafka)


@pytest.fixture(scope="module")
def viewer(topics: Wire) -> Iterator[Viewer]:
    with Viewer(topics) as viewer:
        yield viewer
        assert viewer.terminate() == 0
        assert "Traceback" not in viewer.log


@pytest.fixture(scope="module")
def guarded(topics: Wire) -> Iterator[Viewer]:
    with Viewer(topics, "--token", TOKEN, "--allowed-host", "edge.example") as viewer:
        yield viewer


def new_id() -> str:
    return uuid.uuid4().hex


def test_every_answer_has_the_headers_that_keep_foreign_content_out(viewer: Viewer) -> None:
    for path in ("/", "/static/main.js", "/nothing"):
        _, _, headers = viewer.ask(path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_the_page_has_neither_inline_code_nor_anything_from_elsewhere(viewer: Viewer) -> None:
    status, page, _ = viewer.ask("/")
    assert status == 200
    assert " style=" not in page
    assert " on" + "click" not in page
    assert "://" not in page
    assert page.count("<script") == page.count('<script src="/static/') + page.count(
        '<script type="module" src="/static/'
    )


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/app.py", "/static/"]
)
def test_nothing_but_the_pages_own_files_is_served(viewer: Viewer, path: str) -> None:
    assert viewer.ask(path)[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:9999", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.1.2.3", 421),
        ("localhost@evil.example", 421),
        ("", 421),
        ("[", 421),
        ("[::1", 421),
    ],
)
def test_only_names_of_this_machine_are_answered(viewer: Viewer, host: str, status: int) -> None:
    assert viewer.ask("/", Host=host)[0] == status


def test_a_token_is_asked_for_and_becomes_a_cookie(guarded: Viewer) -> None:
    for path in ("/", "/events", "/static/main.js", "/?token=", "/?token=wrong", f"/events?token={TOKEN}"):
        status, text, _ = guarded.ask(path)
        assert (status, "the URL that the server printed" in text) == (401, True)
    assert guarded.send(new_id())[0] == 401
    status, _, headers = guarded.ask(f"/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")
    cookie, *flags = headers["set-cookie"].split("; ")
    assert {flag.lower() for flag in flags} >= {"httponly", "samesite=strict"}
    assert guarded.ask("/", Cookie=cookie)[0] == 200
    assert guarded.send(new_id(), Cookie=cookie)[0] == 202
    assert guarded.ask("/", Cookie=cookie + "x")[0] == 401


def test_with_a_token_addresses_and_allowed_names_are_answered_and_others_not(guarded: Viewer) -> None:
    for host, status in (("10.1.2.3:80", 401), ("edge.example", 401), ("EDGE.example:1", 401), ("evil.example", 421)):
        assert guarded.ask("/", Host=host)[0] == status


def test_other_sites_get_nothing(viewer: Viewer) -> None:
    assert viewer.ask("/events", Sec_Fetch_Site="cross-site")[0] == 403
    assert viewer.ask("/", Sec_Fetch_Site="cross-site")[0] == 200
    assert viewer.ask("/events", Origin="http://evil.example")[0] == 403
    for origin in ("http://evil.example", "null", f"http://{HOST}:1", f"file://{HOST}:{viewer.port}"):
        assert viewer.send(new_id(), Origin=origin)[0] == 403
    assert viewer.ask(f"/requests/{new_id()}", "POST", bytes(784), Content_Type="application/octet-stream")[0] == 403


@pytest.mark.parametrize(
    ("name", "size", "content_type", "status"),
    [
        ("x" * 32, 784, "application/octet-stream", 400),
        ("0" * 31, 784, "application/octet-stream", 400),
        ("0" * 32, 783, "application/octet-stream", 413),
        ("0" * 32, 785, "application/octet-stream", 413),
        ("0" * 32, 0, "application/octet-stream", 413),
        ("0" * 32, 784, "text/plain", 415),
    ],
)
def test_what_is_no_picture_is_refused(viewer: Viewer, name: str, size: int, content_type: str, status: int) -> None:
    wait_until(lambda: viewer.send(name, bytes(size), Content_Type=content_type)[0] != 429, "room for one more")
    assert viewer.send(name, bytes(size), Content_Type=content_type)[0] == status


def test_a_picture_without_end_is_cut_off(viewer: Viewer) -> None:
    with socket.create_connection((HOST, viewer.port), timeout=20) as connection:
        connection.sendall(
            f"POST /requests/{'0' * 32} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
            "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
        assert sent < 16 * 1024 * 1024


def test_a_picture_becomes_a_request_like_any_other(topics: Wire, viewer: Viewer) -> None:
    name, before = new_id(), time.time_ns()
    assert viewer.send(name, bytes(range(196)) * 4) == (202, name)
    record = next(each for each in read_all(topics.servers, topics.requests) if header(each, REQUEST_ID) == name)
    assert (record.key, record.value) == (b"viewer", bytes(range(196)) * 4)
    assert before <= int(header(record, CREATED_NS) or "") <= time.time_ns()


def test_who_sends_too_fast_is_told_so(viewer: Viewer) -> None:
    with ThreadPoolExecutor(20) as pool:
        sent = pool.map(viewer.send, [new_id() for _ in range(60)])
        assert {status for status, _ in sent} == {202, 429}


def test_a_page_that_comes_back_is_told_what_it_has_missed(topics: Wire, viewer: Viewer) -> None:
    with viewer.events() as events:
        hello = events.next("hello")
        assert hello["model"]["labels"][9] == "Ankle boot"
        events.next("figures")
        first = events.last_id
        number = int(first.partition("-")[2])
    with viewer.events(Last_Event_ID=first) as events:
        events.next("figures")
        assert int(events.last_id.partition("-")[2]) > number
    for other in ("nonsense", "00000000-7", first + "9" * 30, "-", f"{first}-"):
        with viewer.events(Last_Event_ID=other) as events:
            events.next("figures")


def test_who_asks_nothing_or_a_byte_at_a_time_is_turned_away(viewer: Viewer) -> None:
    with (
        socket.create_connection((HOST, viewer.port)) as silent,
        socket.create_connection((HOST, viewer.port)) as slow,
        viewer.events() as events,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        wait_until(lambda: is_ended(slow), "the end of the slow one")
        silent.settimeout(30)
        assert silent.recv(1) == b""
        # A page that listens is not asked for more.
        events.next("figures")


def test_pages_are_turned_away_when_there_are_too_many(topics: Wire) -> None:
    with Viewer(topics) as viewer:
        opened = [socket.create_connection((HOST, viewer.port)) for _ in range(33)]
        for each in opened:
            each.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        firsts = [each.recv(100).split()[1] for each in opened]
        assert (firsts.count(b"200"), firsts.count(b"503")) == (32, 1)
        for each in opened:
            each.close()
        wait_until(lambda: _status(viewer) == 200, "room for a page")


def _status(viewer: Viewer) -> int:
    with viewer.events() as events:
        return events.status
