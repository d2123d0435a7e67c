"""A bundle in an empty directory, in a network namespace that has no network: `make test-bundle` calls it there."""

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bundle import _build, _sums
from localkafka import LocalKafka
from tests.deploy.device import python_for_units
from tests.paths import IMAGES
from tests.system.processes import wait_until

CLEAN = {"PATH": "/usr/bin:/bin", "PYTHON": python_for_units(), "LANG": "C.UTF-8"}

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("unpacked")]


@pytest.fixture(scope="module")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it comes to in an empty directory."""
    target = tmp_path_factory.mktemp("opt")
    ended = install(unpacked, target, target / "systemd")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"installed: {target}/current/venv/bin/edge-classifier")
    return target


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalKafka]:
    """A real Kafka in the same namespace."""
    with LocalKafka() as kafka:
        yield kafka


def install(bundle: Path, *directories: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(bundle / "install.sh"), *map(str, directories)]
    return subprocess.run(command, cwd="/", env=CLEAN, check=False, capture_output=True, text=True)


def start(installed: Path, app: str, cwd: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """An installed app, with nothing of this repository within its reach."""
    program = installed / "current" / "venv" / "bin" / f"edge-{app}"
    return subprocess.Popen(
        [str(program), *options],
        cwd=cwd,
        env={**CLEAN, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def changed(bundle: Path, to: Path) -> Path:
    """The bundle of another release."""
    shutil.copytree(bundle, to)
    with (to / "edge.env").open("a") as file:
        file.write("# another one\n")
    (to / "SHA256SUMS").unlink()
    (to / "SHA256SUMS").write_text("".join(_sums(to)))
    return to


def test_there_is_no_network_here() -> None:
    devices = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    assert devices == ["lo"]
    with pytest.raises(OSError, match="unreachable") as raised:
        socket.create_connection(("192.0.2.1", 443), 5)
    assert raised.value.errno == errno.ENETUNREACH


def test_the_installed_apps_serve_over_a_real_kafka(installed: Path, broker: LocalKafka, tmp_path: Path) -> None:
    servers = {"EDGE_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
    model = {"EDGE_MODEL": str(installed / "current" / "model.onnx"), "EDGE_INSTANCE_ID": "host-1"}
    with start(installed, "classifier", tmp_path, **servers, **model) as classifier:
        try:
            query = start(
                installed, "query", tmp_path, "--interval", "0", "--limit", "20", EDGE_IMAGES=str(IMAGES), **servers
            )
            sent, _ = query.communicate(timeout=60)
            consumer = start(installed, "consumer", tmp_path, "--limit", "20", **servers)
            read, _ = consumer.communicate(timeout=60)
        finally:
            classifier.send_signal(signal.SIGTERM)
        _, said = classifier.communicate(timeout=60)
    assert (query.returncode, sent) == (0, "20 images sent and acknowledged\n")
    assert (consumer.returncode, classifier.returncode) == (0, 0)
    last = read.splitlines()[-1]
    assert last.startswith("20 predictions read, accuracy ")
    assert float(last.split()[4]) >= 0.8
    assert "stopped: 20 predictions, 0 dead letters written" in said
    assert list(tmp_path.iterdir()) == []


def test_it_runs_its_own_code_and_its_units_lead_to_it(installed: Path, tmp_path: Path) -> None:
    python = installed / "current" / "venv" / "bin" / "python"
    command = [str(python), "-c", "import edge; print(edge.__file__)"]
    where = subprocess.run(command, cwd=tmp_path, env=CLEAN, check=True, capture_output=True, text=True)
    assert Path(where.stdout).is_relative_to(installed / "current" / "venv")
    unit = (installed / "systemd" / "edge-classifier@.service").read_text()
    assert f"ExecStart={installed}/current/venv/bin/edge-classifier\n" in unit
    assert "/opt/onnx-kafka-edge" not in unit


def test_the_same_again_changes_nothing_and_another_release_stands_beside_it(
    installed: Path, unpacked: Path, tmp_path: Path
) -> None:
    first = (installed / "current").readlink()
    again = install(unpacked, installed)
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, f"{installed}/{first} is there already")
    assert install(changed(unpacked, tmp_path / "other"), installed).returncode == 0
    second = (installed / "current").readlink()
    assert second != first
    assert sorted(f"releases/{path.name}" for path in (installed / "releases").iterdir()) == sorted(
        map(str, (first, second))
    )
    assert install(unpacked, installed).returncode == 0
    assert (installed / "current").readlink() == first


def test_a_release_that_no_longer_runs_is_made_again(installed: Path, unpacked: Path) -> None:
    (package,) = (installed / "current" / "venv").glob("lib/python*/site-packages/numpy")
    shutil.rmtree(package)
    again = install(unpacked, installed)
    assert again.returncode == 0
    assert "is there already" not in again.stdout
    assert (package / "__init__.py").is_file()
    mode = (installed / "current" / "model.onnx").stat().st_mode
    assert mode & 0o777 == 0o644


def test_an_installation_that_is_killed_leaves_the_running_release_alone(
    installed: Path, unpacked: Path, tmp_path: Path
) -> None:
    before = (installed / "current").readlink()
    other = changed(changed(unpacked, tmp_path / "other"), tmp_path / "third")
    name = f"0.1.0-{hashlib.sha256((other / 'SHA256SUMS').read_bytes()).hexdigest()[:12]}"
    command = ["sh", str(other / "install.sh"), str(installed)]
    process = subprocess.Popen(command, env=CLEAN, start_new_session=True, stderr=subprocess.DEVNULL)
    packages = installed / "releases" / name / "venv" / "lib"
    wait_until(lambda: any(packages.glob("*/site-packages/numpy")), "a half installed release")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (installed / "current").readlink() == before
    refused = install(other, installed)
    assert refused.returncode == 1
    assert f"if none is, one was killed: rmdir {installed}/installing" in refused.stderr
    (installed / "installing").rmdir()
    assert install(other, installed).returncode == 0
    assert (installed / "current").readlink() == Path("releases", name)


def test_a_wheel_that_is_not_the_one_of_the_lock_is_not_installed(unpacked: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(unpacked, bundle)
    (wheel,) = (bundle / "wheels").glob("click-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"x")
    refused = install(bundle, tmp_path / "opt")
    assert (refused.returncode, (tmp_path / "opt").exists()) == (1, False)
    assert f"damaged or missing: wheels/{wheel.name} -" in refused.stderr
    # Also where somebody has made the checksums fit.
    (bundle / "SHA256SUMS").unlink()
    (bundle / "SHA256SUMS").write_text("".join(_sums(bundle)))
    refused = install(bundle, tmp_path / "opt")
    assert refused.returncode == 1
    assert "HASHES" in refused.stderr
    assert list((tmp_path / "opt").rglob("*")) == [tmp_path / "opt" / "releases"]


def test_the_projects_wheel_depends_on_its_files_alone(tmp_path: Path) -> None:
    digests = set()
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            (wheels := tmp_path / f"wheels-{mask}").mkdir()
            _build(wheels, tmp_path / f"source-{mask}")
        finally:
            os.umask(before)
        (wheel,) = wheels.iterdir()
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(digests) == 1
