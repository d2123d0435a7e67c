"""What stands in the way of an emulated machine is said in one sentence."""

import shutil
from pathlib import Path

import pytest

from edge.errors import ConfigurationError
from tests.arm64 import debian, machine
from tests.arm64.report import BEGIN, END, write


def test_without_debians_tools_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="apt-get and dpkg-deb not found"):
        debian.fetch(["hello"], tmp_path / "packages")


needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this is no Debian")


@needs_apt
def test_a_mirror_that_cannot_be_reached_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"apt-get failed \(E: .*mirror reachable\?"):
        debian.fetch(["hello"], tmp_path)


@needs_apt
def test_a_damaged_package_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "damaged.deb").write_bytes(b"!<arch>\nno package")
    with pytest.raises(ConfigurationError, match=r"dpkg-deb failed \(dpkg-deb: error: .*damaged.deb"):
        debian.unpack(tmp_path / "damaged.deb", tmp_path / "root")


@pytest.mark.parametrize(("system", "processor"), [("Linux", "aarch64"), ("Darwin", "arm64")])
def test_only_linux_on_another_processor_emulates(monkeypatch: pytest.MonkeyPatch, system: str, processor: str) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: processor)
    with pytest.raises(ConfigurationError, match=f"this is {system} on {processor}"):
        machine.machine()


def test_a_full_disk_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "BUILD", tmp_path / "arm64")
    monkeypatch.setattr(machine, "NEEDS_MB", 10**12)
    with pytest.raises(ConfigurationError, match="MB of free disk; there are"):
        machine.machine()


def test_each_core_is_one_that_onnxruntime_knows() -> None:
    cores = machine.PI_5.cpuinfo.strip().split("\n\n")
    assert [core.splitlines()[0] for core in cores] == [f"processor\t: {number}" for number in range(len(cores))]
    assert all("CPU part\t: 0xd0b" in core for core in cores)


def test_the_table_takes_the_place_between_the_markers(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(document, "new")
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    document.write_text("no place")
    with pytest.raises(ValueError, match="has no <!-- arm64: begin"):
        write(document, "new")
