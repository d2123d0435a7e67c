"""What `install.sh` refuses, each in one sentence that says what to do; what it installs, `make test-bundle` tries."""

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bundle import EPOCH_S, _about, _pack, _sums
from tests.paths import ROOT

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
FAKE = """#!/bin/sh
case "$2" in
*version_info*) echo 3.11 ;;
*libc_ver*) echo {libc} ;;
*ensurepip*) exit {ensurepip} ;;
*) exit 1 ;;
esac
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What says whom a bundle is for, as `make bundle` writes it, with a wheel that is none."""
    folder = tmp_path / "bundle"
    (folder / "wheels").mkdir(parents=True)
    shutil.copyfile(ROOT / "deploy" / "install.sh", folder / "install.sh")
    (folder / "wheels" / "some.whl").write_bytes(b"wheel")
    tell(folder)
    return folder


def tell(folder: Path, arch: str = platform.machine(), python: str = HERE, needs_mb: int = 1) -> None:
    """Change whom the bundle is for."""
    text = _about(arch, (python,)).replace("NEEDS_MB=300", f"NEEDS_MB={needs_mb}")
    (folder / "about").write_text(text)
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    (folder / "SHA256SUMS").write_text("".join(_sums(folder)))


def fake(folder: Path, libc: str = "64 glibc 2.36", ensurepip: int = 0) -> str:
    """A Python of another machine."""
    path = folder / "python"
    path.write_text(FAKE.format(libc=libc, ensurepip=ensurepip))
    path.chmod(0o755)
    return str(path)


def install(bundle: Path, *directories: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(bundle / "install.sh"), *directories]
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": python}
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


def refused(bundle: Path, target: object, python: str = sys.executable, code: int = 1) -> str:
    """Why the bundle is not installed; nothing may be left behind."""
    ended = install(bundle, *([] if target is None else [str(target)]), python=python)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.count("\n") == 1, ended.stderr
    if target and Path(str(target)).is_dir():
        assert [path.name for path in Path(str(target)).rglob("*") if path.name != "releases"] == []
    return ended.stderr


def test_another_machine(bundle: Path, tmp_path: Path) -> None:
    tell(bundle, arch="riscv64")
    said = refused(bundle, tmp_path / "opt")
    assert f"this bundle is for riscv64, and this machine is {platform.machine()}" in said


@pytest.mark.parametrize(
    ("name", "content"), [("wheels/some.whl", b"wheeL"), ("about", b""), ("wheels/some.whl", None)]
)
def test_a_damaged_or_missing_file(bundle: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    path = bundle / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert f"install.sh: damaged or missing: {name} - copy the archive once more" in refused(bundle, tmp_path / "opt")


def test_checksums_that_are_gone_or_empty(bundle: Path, tmp_path: Path) -> None:
    (bundle / "SHA256SUMS").write_text("")
    assert "damaged or missing: SHA256SUMS" in refused(bundle, tmp_path / "opt")
    (bundle / "SHA256SUMS").unlink()
    assert "it has no SHA256SUMS: unpack the archive again" in refused(bundle, tmp_path / "opt")


def test_another_python(bundle: Path, tmp_path: Path) -> None:
    tell(bundle, python="3.99")
    assert f"needs a Python of 3.99 here (found: {sys.executable} is {HERE}, no other)" in refused(
        bundle, tmp_path / "o"
    )
    assert "needs a Python of 3.99 here (found: none, no other)" in refused(bundle, tmp_path / "o", "/nowhere/python")


@pytest.mark.parametrize(
    ("libc", "said"),
    [
        ("32 glibc 2.36", "is a program of 32 bits on a machine of 64"),
        ("64 musl 0.0", "the C library musl, and the wheels need glibc"),
        ("64 glibc 2.27", "the wheels need glibc 2.28, this system has 2.27"),
    ],
)
def test_another_system(bundle: Path, tmp_path: Path, libc: str, said: str) -> None:
    tell(bundle, python="3.11")
    assert said in refused(bundle, tmp_path / "opt", fake(tmp_path, libc))


def test_no_venv(bundle: Path, tmp_path: Path) -> None:
    tell(bundle, python="3.11")
    assert "(Debian: apt install python3-venv)" in refused(bundle, tmp_path / "opt", fake(tmp_path, ensurepip=1))


def test_no_room(bundle: Path, tmp_path: Path) -> None:
    tell(bundle, needs_mb=10**9)
    assert "1000000000 MB are needed" in refused(bundle, tmp_path / "opt")


def test_a_directory_that_cannot_be_used(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "run this as root, or name another directory" in refused(bundle, tmp_path / "file" / "opt")
    assert "units need a path of letters, digits and" in refused(bundle, tmp_path / "with space")
    assert "usage: sh install.sh DIRECTORY" in refused(bundle, None, code=2)
    assert "usage: sh install.sh DIRECTORY" in refused(bundle, "", code=2)


def test_two_at_once(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "opt" / "installing").mkdir(parents=True)
    ended = install(bundle, str(tmp_path / "opt"))
    assert ended.returncode == 1
    assert "another install.sh is at work" in ended.stderr
    assert (tmp_path / "opt" / "installing").is_dir()


def test_the_same_files_make_the_same_archive(bundle: Path, tmp_path: Path) -> None:
    digests = set()
    for mode in (0o600, 0o664):
        (bundle / "about").chmod(mode)
        (bundle / "about").touch()
        _pack(bundle, tmp_path / "bundle.tar.gz")
        digests.add(hashlib.sha256((tmp_path / "bundle.tar.gz").read_bytes()).hexdigest())
    assert len(digests) == 1
    assert not (tmp_path / "bundle.tar.gz.part").exists()
    shutil.rmtree(bundle)
    shutil.unpack_archive(tmp_path / "bundle.tar.gz", tmp_path, filter="data")
    assert (bundle / "wheels" / "some.whl").read_bytes() == b"wheel"
    assert (bundle / "install.sh").stat().st_mode & 0o777 == 0o755
    assert (bundle / "about").stat().st_mtime == EPOCH_S
