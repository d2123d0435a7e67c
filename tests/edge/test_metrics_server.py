"""The port of metrics and health: what it answers to whom, and what is said when it cannot be opened."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from edge import exposition, metrics_server
from edge.classifier import main
from edge.errors import ConfigurationError
from edge.hooks import Served
from edge.memory_client import MemoryClient
from edge.metrics_server import MAX_CLIENTS, MetricsServer, serve_metrics
from edge.model import load_model
from tests.dripping import is_ended
from tests.paths import LENET
from tests.scrape import Scrape
from tests.system.processes import run, wait_until


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    server = serve_metrics("127.0.0.1", 0, 64)
    yield server
    server.close()


def ask(server: MetricsServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and text."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_health_goes_from_starting_to_ready_to_standstill(server: MetricsServer) -> None:
    metrics, source = server.metrics, MemoryClient().open_source("in", "group", lambda _: {})
    text = "text/plain; charset=utf-8"
    assert ask(server, "/livez") == (200, text, "ok\n")
    assert ask(server, "/readyz") == (503, text, "the model is not loaded yet\n")
    metrics.loaded(Served(load_model(LENET)))
    assert ask(server, "/readyz?verbose") == (503, text, "the cluster is not connected yet\n")
    metrics.health.partitions = len(source.lag)
    metrics.health.turned(metrics.health._clock())
    assert ask(server, "/readyz") == (200, text, "ok\n")
    assert ask(server, "/readyz", "HEAD") == (200, text, "")
    metrics.health.turned(metrics.health._clock() - 100)
    code, _, sentence = ask(server, "/livez")
    assert (code, sentence) == (503, "the loop has stood still for 100 s, and 30 s are allowed\n")
    assert ask(server, "/readyz") == (503, text, sentence)
    scrape = Scrape(ask(server, "/metrics")[2])
    assert (scrape["edge_live"], scrape["edge_ready"]) == (0, 0)
    assert 100 <= scrape["edge_loop_still_seconds"] < 160


def test_metrics_come_in_the_text_format_and_other_paths_are_unknown(server: MetricsServer) -> None:
    code, content_type, text = ask(server, "/metrics")
    assert (code, content_type) == (200, exposition.CONTENT_TYPE)
    assert Scrape(text)["edge_requests_total"] == 0
    for path in ("/", "/metricsx", "/%2e%2e/etc/passwd", "/" + "x" * 10_000):
        assert ask(server, path)[0] == 404
    assert ask(server, "/metrics", "POST")[0] == 501


def test_who_sends_nonsense_or_nothing_keeps_nobody_from_being_served(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as nonsense:
        nonsense.sendall(b"\x00\xff\r\n\r\n")
        assert b"400" in nonsense.recv(1000)
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MAX_CLIENTS)]
    wait_until(lambda: not server._server._free._value, "all of them to be served")
    with pytest.raises(OSError, match=r"."):
        ask(server, "/livez")
    for each in silent:
        each.close()
    wait_until(lambda: server._server._free._value == MAX_CLIENTS, "their end")
    assert ask(server, "/livez")[0] == 200


def test_who_sends_a_byte_now_and_then_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "PATIENCE_S", 0.5)
    server = serve_metrics("127.0.0.1", 0, 64)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        wait_until(lambda: is_ended(client), "its end")
    wait_until(lambda: server._server._free._value == MAX_CLIENTS, "room for others")
    server.close()


def test_a_port_that_is_closed_is_free_again_and_its_thread_is_gone() -> None:
    before = threading.active_count()
    first = serve_metrics("127.0.0.1", 0, 64)
    ask(first, "/livez")
    first.close()
    again = serve_metrics("127.0.0.1", first.port, 64)
    assert ask(again, "/livez")[0] == 200
    again.close()
    wait_until(lambda: threading.active_count() == before, "the end of the threads")


def test_an_ipv6_address_will_do() -> None:
    try:
        server = serve_metrics("::1", 0, 64)
    except ConfigurationError as error:
        pytest.skip(f"this machine has no IPv6: {error.message}")
    with urllib.request.urlopen(f"http://[::1]:{server.port}/livez", timeout=10) as answer:
        assert answer.status == 200
    server.close()


def test_a_port_in_use_ends_with_78_and_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("edge.classifier", "--model", str(LENET), "--metrics-port", str(port))
    assert ended.process.returncode == 78
    assert ended.errors == [
        f"Error: cannot listen on 127.0.0.1 port {port} (Address already in use): choose another --metrics-port or "
        "--metrics-host"
    ]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "192.0.2.1"])
def test_an_address_that_is_not_this_machines_ends_with_78(host: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"cannot listen on {host} port 0 \(.+\): choose another"):
        serve_metrics(host, 0, 64)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--metrics-host", "0.0.0.0"], "--metrics-host needs --metrics-port"),  # noqa: S104 nothing is opened
        (["--metrics-port", "65536"], "65536 is not in the range"),
        (["--metrics-port", "-1"], "-1 is not in the range"),
        (["--metrics-port", "0", "--metrics-host", ""], "it must not be empty"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(options: list[str], reason: str) -> None:
    result = CliRunner().invoke(main, ["--model", str(LENET), *options])
    assert result.exit_code == 2
    assert reason in result.output
