"""What the doctor says of the device and of the model: each fault is named in words."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge import checks_device, checks_model, doctor
from edge.cluster import Cluster
from edge.model import RUN_BATCH, Model, load_model
from edge.preflight import Finding, Preflight, Status, examine
from edge.security import Security
from tests.paths import LENET

TOPICS = {"request": "in", "prediction": "out", "dead letter": "dead"}
HASH = "a" * 64


def preflight(servers: str = "localhost:1", security: Security | None = None) -> Preflight:
    return Preflight(Cluster(servers, security=security or Security()), ("classifier",), TOPICS)


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


def test_a_model_that_fails_in_batches_ends_no_other_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def infer(model: Model, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if len(images) == RUN_BATCH:
            raise RuntimeError("the shapes of Reshape do not fit\nand more")
        return honest(model, images)

    monkeypatch.setattr(checks_model, "MEASURE_S", 0.01)
    model = load_model(LENET)
    honest = Model.infer
    monkeypatch.setattr(checks_model, "load_model", lambda *_: model)
    monkeypatch.setattr(Model, "infer", infer)
    *_, speed = model_findings(LENET)
    assert (speed.check, speed.status) == ("speed", Status.WARNING)
    assert speed.message.startswith("the model fails on 32 images at once (the shapes of Reshape do not fit): ")


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
    # One of four neighbours holds the exponent of a weight, and not every weight has a say in the golden inputs.
    for place in range(len(model) // 2, len(model) // 2 + 64):
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
