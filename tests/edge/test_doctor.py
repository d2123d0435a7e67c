"""The doctor without a cluster: each fault of the device, of the model and of the way there is named in words."""

import functools
import hashlib
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

from edge import checks_device, checks_model, checks_network, doctor
from edge.checks_network import STEPS
from edge.cluster import Cluster
from edge.preflight import Check, Finding, Preflight, Status, examine
from edge.probe import find_fault
from edge.security import Secret, Security
from tests.edge.certificates import Authority
from tests.edge.fake_broker import VERSIONS, answering, scram, serve
from tests.paths import LENET, SAMPLES

OPEN = answering({18: VERSIONS})
TOPICS = {"request": "in", "prediction": "out", "dead letter": "dead"}
HASH = "a" * 64
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


def model_findings(path: Path, sha256: str | None = None) -> list[Finding]:
    look = preflight()
    look.model_path, look.model_sha256 = path, sha256
    checks = [check for check in doctor.CHECKS if check.name in ("model", "golden inputs", "speed")]
    return list(examine(look, checks))


def test_the_model_is_described_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_model, "MEASURE_S", 0.01)
    described, loaded, golden, speed = model_findings(LENET)
    assert {each.status for each in (described, loaded, golden, speed)} == {Status.OK}
    sha256 = hashlib.sha256(LENET.read_bytes()).hexdigest()[:12]
    assert f"'lenet', SHA-256 {sha256}… (not pinned by --model-sha256), float32, images of 28x28" in described.message
    assert loaded.message.startswith("loaded and warmed up in ")
    assert golden.message == "all 8 are answered as at export"
    assert "images/s in batches of 32, " in speed.message


def test_each_fault_of_a_model_is_named(tmp_path: Path) -> None:
    model = LENET.read_bytes()
    without = tmp_path / "without.onnx"
    # The key of the metadata, with its length before it: another word is no contract.
    without.write_bytes(model.replace(b"\x08contract", b"\x08contrast"))
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    cases = [
        (tmp_path / "missing.onnx", None, f"there is no model file {tmp_path / 'missing.onnx'}"),
        (
            without,
            None,
            "the model carries no contract: export it with `python -m export`, or name one with --contract",
        ),
        (LENET, HASH, f"; --model-sha256 asks for {HASH}"),
        (text, None, "text.onnx: "),
        (tmp_path, None, "is no regular file"),
    ]
    for path, sha256, words in cases:
        fault, *skipped = model_findings(path, sha256)
        assert (fault.check, fault.status, fault.exit_code) == ("model", Status.FAILURE, 78)
        assert words in fault.message
        assert [each.message for each in skipped] == ["skipped, because the check of model failed"] * 2


def test_one_byte_of_a_weight_that_has_changed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_model, "MEASURE_S", 0.01)
    model, path, said = LENET.read_bytes(), tmp_path / "damaged.onnx", []
    # One of four neighbours holds the exponent of a weight.
    for place in range(len(model) // 2, len(model) // 2 + 4):
        path.write_bytes(model[:place] + bytes([model[place] ^ 0x40]) + model[place + 1 :])
        said.append(model_findings(path)[0])
    faults = [each for each in said if each.status is Status.FAILURE]
    assert faults
    assert all("answers its golden inputs otherwise than at export: the file is damaged" in f.message for f in faults)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    look = preflight()
    look.spool, look.model_path, look.min_free_mb = tmp_path / "not" / "yet", LENET, 10**9
    spool, model = checks_device.disk(look)
    assert (spool.status, spool.exit_code, model.status) == (Status.FAILURE, 78, Status.WARNING)
    assert "the disk is full: " in spool.message
    assert f"free for the spool, at {tmp_path}, of 1000000000 MB wanted; delete something there" in spool.message
    look.spool, look.min_free_mb = LENET, 0
    spool, model = checks_device.disk(look)
    assert (spool.status, model.status) == (Status.FAILURE, Status.OK)
    assert "name a folder that can be" in spool.message


def test_what_may_not_be_looked_at_is_a_failure_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied", "/spool")

    monkeypatch.setattr("shutil.disk_usage", refuse)
    disk, memory = examine(preflight(), [check for check in doctor.CHECKS if check.name in ("disk", "memory")][::-1])
    assert (disk.check, disk.status, disk.exit_code) == ("disk", Status.FAILURE, 78)
    assert "([Errno 13] Permission denied: '/spool'): is this the right user?" in disk.message
    assert memory.check == "memory"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "status", "words"),
    [
        ("x86_64", "flags : sse4_2 avx2 fma\n", Status.OK, "cores with AVX2, FMA"),
        ("x86_64", "flags : sse4_2\n", Status.WARNING, "without AVX2"),
        ("aarch64", "Features : fp asimd asimddp\n", Status.OK, "NEON, dot product"),
        ("aarch64", "Features : fp asimd\n", Status.WARNING, "without dot product"),
        ("aarch64", None, Status.WARNING, "not to be seen here"),
    ],
)
def test_what_a_processor_lacks_is_a_warning_at_most(
    machine: str, cpuinfo: str | None, status: Status, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(checks_device, "_CPUINFO", path)
    monkeypatch.setattr("platform.machine", lambda: machine)
    (found,) = checks_device.processor(preflight())
    assert (found.status, words in found.message) == (status, True), found


def test_the_smaller_of_two_limits_of_memory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("_MEMINFO", "MemAvailable: 900000 kB\n"), ("_CGROUP_LIMIT", "max"), ("_CGROUP_USED", "100")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(checks_device, name, tmp_path / name)
    (found,) = checks_device.memory(preflight())
    assert (found.status, found.message) == (Status.OK, "878 MB available")
    (tmp_path / "_CGROUP_LIMIT").write_text(str(64 * 1024**2))
    (found,) = checks_device.memory(preflight())
    assert (found.status, found.message.startswith("63 MB available, of 192 MB")) == (Status.WARNING, True)


def test_a_package_that_is_missing_or_built_for_another_processor_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "built_wrong.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(checks_device, "REQUIRED", {"good": "json", "gone": "not_there", "wrong": "built_wrong"})
    gone, wrong = checks_device.packages(preflight())
    assert gone.message.startswith("gone cannot be imported (ModuleNotFoundError: No module named 'not_there')")
    assert wrong.message.startswith("wrong cannot be imported (signal 4 ends it: it was built for another processor)")
    assert (gone.exit_code, wrong.exit_code) == (78, 78)


def test_a_package_that_is_missing_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("edge.model", "edge.checks_model"):
        monkeypatch.delitem(sys.modules, name)
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
