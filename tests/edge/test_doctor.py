"""The doctor without a cluster: each fault of the way there is named in words."""

import functools
import http.server
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge import checks_device, checks_network, doctor, kafka_inspect
from edge.checks_network import STEPS
from edge.cluster import Cluster
from edge.preflight import Check, Finding, Preflight, Status, examine
from edge.probe import find_fault
from edge.security import Secret, Security
from localkafka import LocalKafka
from tests.edge.certificates import Authority
from tests.edge.fake_broker import VERSIONS, answering, scram, serve
from tests.paths import SAMPLES

OPEN = answering({18: VERSIONS})
TOPICS = {"request": "in", "prediction": "out", "dead letter": "dead"}
Server = AbstractContextManager[str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "ours")


def preflight(servers: str = "localhost:1", security: Security | None = None) -> Preflight:
    return Preflight(Cluster(servers, security=security or Security()), ("classifier",), TOPICS)


def only(findings: list[Finding], status: Status) -> Finding:
    """The one finding with a status."""
    (found,) = [each for each in findings if each.status is status]
    return found


@contextmanager
def web_server() -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SAMPLES)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"localhost:{port}"


@contextmanager
def stranger() -> Iterator[str]:
    yield "no-such-host.invalid:9092"


def silent(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def refusing(authority: Authority, *hosts: str, ends_in: timedelta = timedelta(365)) -> Server:
    """A TLS server with a certificate for some hosts."""
    now = datetime.now(UTC)
    identity = authority.sign(hosts, not_after=now + ends_in, not_before=now - timedelta(2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    return serve(OPEN, context)


@pytest.mark.parametrize(
    ("server", "step", "words"),
    [
        (stranger, "host name", "the host name 'no-such-host.invalid' of no-such-host.invalid:9092 is not known here"),
        (nobody, "TCP", "(Connection refused): start one (`python -m localkafka` starts a local one)"),
        (
            web_server,
            "API versions",
            "is a web server (it speaks HTTP), no Kafka broker: name Kafka's port with --boot",
        ),
        (lambda: serve(silent), "API versions", "(it accepts connections and does not answer): name Kafka's port with"),
    ],
)
def test_a_server_that_is_no_broker_is_named(
    server: Callable[[], Server], step: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_network, "find_fault", functools.partial(find_fault, timeout_s=0.5))
    monkeypatch.setattr("edge.probe._SECOND_LOOK_S", 0.2)
    monkeypatch.setattr(checks_network, "_LOOK_S", 0.5)
    with server() as name:
        found = list(checks_network.network(preflight(name)))
    assert [each.check for each in found] == list(STEPS)
    fault = only(found, Status.FAILURE)
    assert (fault.check, fault.exit_code, words in fault.message) == (step, 69, True), fault
    after = found[found.index(fault) + 1 :]
    assert {each.message for each in after} == {f"skipped, because the check of {step} failed"}
    assert all(each.status is Status.OK for each in found[: found.index(fault)])


def test_each_fault_of_a_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    trusting, theirs = Security("SSL", authority.pem), Authority(tmp_path, "theirs")
    cases = [
        (refusing(authority, "localhost", ends_in=timedelta(-1)), "has expired: have it renewed"),
        (refusing(authority, "elsewhere"), "is made out to another name"),
        (refusing(theirs, "localhost"), f"not vouched for by {authority.pem}"),
        (serve(OPEN), "does not speak TLS: name its TLS port"),
    ]
    for server, words in cases:
        with server as name:
            fault = only(list(checks_network.network(preflight(name, trusting))), Status.FAILURE)
        assert (fault.check, fault.exit_code, words in fault.message) == ("TLS", 78, True), fault
    with refusing(authority, "localhost") as name:
        fault = only(list(checks_network.network(preflight(name))), Status.FAILURE)
    assert "speaks TLS and this client does not" in fault.message


def test_a_certificate_that_ends_soon_is_a_warning(authority: Authority) -> None:
    with refusing(authority, "localhost", ends_in=timedelta(10)) as name:
        found = list(checks_network.network(preflight(name, Security("SSL", authority.pem))))
    assert "ends in 10.0 days" in only(found, Status.WARNING).message
    assert [each.status for each in found].count(Status.OK) == len(STEPS) - 1


def test_a_wrong_ca_file_and_a_wrong_password_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with serve(OPEN) as name:
        fault = only(list(checks_network.network(preflight(name, Security("SSL", missing)))), Status.FAILURE)
    assert (fault.check, fault.exit_code) == ("TLS", 78)
    assert fault.message == f"cannot read {missing}: No such file or directory"
    ada = Security("SASL_PLAINTEXT", username="ada", password=Secret("right"))
    with serve(scram("right", signs_as="wrong")) as name:
        fault = only(list(checks_network.network(preflight(name, ada))), Status.FAILURE)
    assert (fault.check, fault.exit_code) == ("login", 77)


def test_one_server_of_several_is_enough() -> None:
    with serve(OPEN) as good, nobody() as bad:
        found = list(checks_network.network(preflight(f"{bad},{good}")))
    assert "(the apps work by another server that is named)" in only(found, Status.WARNING).message
    assert {each.status for each in found} == {Status.OK, Status.WARNING}
    assert [each.check for each in found if good in each.message] == [s for s in STEPS if s != "host name"]


def test_a_package_that_is_missing_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("edge.model", "edge.checks_model"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    checks = [Check("model", "edge.checks_model:model"), Check("memory", "edge.checks_device:memory")]
    model, memory = examine(preflight(), checks)
    assert (model.status, memory.check) == (Status.SKIPPED, "memory")
    assert "a package that it needs cannot be imported (" in model.message


def test_the_command_ends_with_the_code_of_the_first_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks_device, "REQUIRED", {"good": "json"})
    options = ["--bootstrap-servers", "no-such-host.invalid:1", "--spool", str(tmp_path), "--min-free-mb", "1000000000"]
    ended = CliRunner().invoke(doctor.main, options)
    assert ended.exit_code == 78
    lines = ended.stdout.splitlines()
    assert [line.split()[0] for line in lines[4:6]] == ["failure", "skipped"]
    assert lines[5] == "skipped  model          because no --model is named"
    ended = CliRunner().invoke(doctor.main, [*options[:2], "--json"])
    assert ended.exit_code == 69
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [each["check"] for each in found if each["status"] == "failure"] == ["host name"]
    assert {each["exit_code"] for each in found} == {0, 69}
    assert found[-1] == {
        "check": "clock",
        "status": "skipped",
        "message": "skipped, because the check of host name failed",
        "exit_code": 0,
    }


@pytest.mark.kafka
def test_all_checks_ask_the_cluster_over_one_connection(kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[kafka_inspect.Inspector] = []
    closed: list[kafka_inspect.Inspector] = []
    inspect, close = kafka_inspect.inspect, kafka_inspect.Inspector.close

    def noted(cluster: Cluster) -> kafka_inspect.Inspector:
        opened.append(inspect(cluster))
        return opened[-1]

    def note_closing(inspector: kafka_inspect.Inspector) -> None:
        closed.append(inspector)
        close(inspector)

    monkeypatch.setattr(kafka_inspect, "inspect", noted)
    monkeypatch.setattr(kafka_inspect.Inspector, "close", note_closing)
    look = preflight(kafka.bootstrap_servers)
    for _ in range(2):
        found = {each.check: each.status for each in examine(look, doctor.CHECKS)}
        assert (found["cluster"], found["group"], found["round trip"]) == (Status.OK,) * 3
    assert len(opened) == 2
    assert closed == opened
