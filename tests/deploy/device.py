"""A device that runs a real systemd, in namespaces on this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.system.processes import wait_until

BOOT = Path(__file__).with_name("boot.sh")


class Device:
    """What is done on it as its root."""

    def __init__(self, init: int) -> None:
        self._init = init

    def run(self, *command: str, given: bytes | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command there; `given` is its input."""
        enter = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--"]
        ended = subprocess.run(
            [*enter, *command],
            check=False,
            capture_output=True,
            input=given,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **environment},
        )
        return subprocess.CompletedProcess(
            ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode(errors="replace")
        )

    def must(self, *command: str, given: bytes | None = None, **environment: str) -> str:
        """The same, and what it prints; it must succeed."""
        ended = self.run(*command, given=given, **environment)
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
        return ended.stdout

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file there, as an administrator does."""
        self.must("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, given=content.encode())

    def properties(self, unit: str, *names: str) -> Mapping[str, str]:
        """What systemd knows of a unit."""
        shown = self.must("systemctl", "show", unit, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in shown.splitlines())

    def log(self, unit: str) -> str:
        """What a unit has said."""
        return self.must("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")


def python_for_units() -> str:
    """The system's Python of this version, if there is one, rather than one in somebody's home."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return shutil.which(name, path="/usr/bin:/usr/local/bin") or sys.executable


def obstacle() -> str | None:
    """Why none can be booted here, if so."""
    if sys.platform != "linux":
        return "it takes Linux"
    if os.geteuid() != 0 or Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        return "it takes root"
    if not any(Path(folder, "systemd/systemd").exists() for folder in ("/usr/lib", "/lib")):
        return "there is no systemd here"
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        return "this kernel has no overlayfs"
    return None if _cgroups() else "no cgroup2 is mounted here"


@contextmanager
def booted(folder: Path, bundle: Path) -> Iterator[Device]:
    """A device with a bundle in /srv/bundle; what happens on it changes nothing here."""
    group = _cgroups()[0] / f"test-device-{os.getpid()}"
    group.mkdir()
    (root := folder / "root").mkdir()
    try:
        with (folder / "console").open("wb") as console:
            process = subprocess.Popen(["sh", BOOT, root, bundle, group], stdout=console, stderr=console)  # noqa: S607
        try:
            yield _ready(process, folder / "console")
        finally:
            process.kill()
            process.wait()
    finally:
        wait_until(lambda: _is_removed(group), "the end of all its processes")


def _ready(process: "subprocess.Popen[bytes]", console: Path) -> Device:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def is_running() -> bool:
        assert process.poll() is None, console.read_text()
        # Until it is systemd, it has this machine's files, and this machine's systemd.
        if (init := children.read_text()) == "" or Path(f"/proc/{init.strip()}/comm").read_text() != "systemd\n":
            return False
        return Device(int(init)).run("systemctl", "is-system-running").stdout == "running\n"

    wait_until(is_running, "a running systemd")
    return Device(int(children.read_text()))


def _cgroups() -> list[Path]:
    """Where the groups of all processes are, in version 2."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(where) for _, where, kind, *_ in mounts if kind == "cgroup2"]


def _is_removed(group: Path) -> bool:
    for folder in sorted([group, *(path for path in group.rglob("*") if path.is_dir())], reverse=True):
        try:
            folder.rmdir()
        except OSError:
            return False
    return True
