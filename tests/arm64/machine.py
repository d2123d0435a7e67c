"""A Raspberry Pi as far as a program sees it: its processor, emulated by QEMU, Debian's Python, and the edge's wheels.

All of it is made once, in `build/arm64/`, and again when the lock or how it is made changes.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from edge.errors import ConfigurationError
from tests.arm64 import debian
from tests.paths import ROOT

BUILD = ROOT / "build" / "arm64"
LOCK = ROOT / "locks" / "arm64.txt"
PYTHON = "3.11"
QEMU = "qemu-aarch64-static"
PACKAGES = ("qemu-user-static", f"python{PYTHON}:arm64", "libstdc++6:arm64", "dataset-fashion-mnist")
FASHION_MNIST = Path("usr/share/datasets/fashion-mnist")
WHEELS = Path("usr/lib/python3/dist-packages")
GLIBC_MINORS = range(28, 16, -1)
"""Wheels for glibc 2.28 or older, as in a bundle; there are none for aarch64 below 2.17."""
NEEDS_MB = 1500


@dataclass(frozen=True)
class Processor:
    """A processor as QEMU calls it, its part number by Arm, and the computer that it is in."""

    name: str
    part: int
    board: str

    @property
    def cpuinfo(self) -> str:
        """`/proc/cpuinfo` of a machine with as many of them as this one has cores."""
        lines = [
            *("BogoMIPS\t: 108.00", "Features\t: fp asimd evtstrm crc32 cpuid", "CPU implementer\t: 0x41"),
            *("CPU architecture: 8", "CPU variant\t: 0x0", f"CPU part\t: {self.part:#x}", "CPU revision\t: 3"),
        ]
        cores = range(os.cpu_count() or 1)
        return "".join("\n".join([f"processor\t: {core}", *lines, "", ""]) for core in cores)


PI_3, PI_4, PI_5 = PROCESSORS = (
    Processor("cortex-a53", 0xD03, "Raspberry Pi 3"),
    Processor("cortex-a72", 0xD08, "Raspberry Pi 4"),
    Processor("cortex-a76", 0xD0B, "Raspberry Pi 5"),
)


@dataclass(frozen=True)
class Machine:
    """A folder with an emulated machine for each processor."""

    folder: Path

    @property
    def images(self) -> Path:
        """Fashion-MNIST as IDX files."""
        return self.folder / "root" / FASHION_MNIST

    def python(self, processor: Processor) -> Path:
        """Its Python, which starts like any other program; `sys.executable` leads to the same."""
        return self.folder / "root" / "usr" / "bin" / processor.name

    def version(self, package: str) -> str:
        """The version of a package in it."""
        (found,) = (self.folder / "root" / WHEELS).glob(f"{package.replace('-', '_')}-*.dist-info")
        return found.name.removesuffix(".dist-info").rpartition("-")[2]

    def qemu_version(self) -> str:
        """The version of the emulator."""
        shown = subprocess.run([self.folder / QEMU, "--version"], capture_output=True, text=True, check=True).stdout
        return shown.split()[2]


def machine() -> Machine:
    """The emulated machine, made when there is none or it is out of date.

    Raises: ConfigurationError, saying why, where it cannot be made.
    """
    if platform.system() != "Linux" or platform.machine() == "aarch64":
        raise ConfigurationError(
            f"this is {platform.system()} on {platform.machine()}: the emulation is for Linux on another processor "
            "than ARM's; on a Raspberry Pi, `make test` tests the real thing"
        )
    ready = BUILD / "ready"
    if not ready.is_file() or ready.read_text() != _wanted():
        _make()
        ready.write_text(_wanted())
    return Machine(BUILD)


def _wanted() -> str:
    """What the folder was made of."""
    sources = (LOCK, Path(__file__), Path(debian.__file__))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources) + os.fsencode(BUILD)).hexdigest()


def _make() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    free_mb = shutil.disk_usage(BUILD).free // 1024**2
    if free_mb < NEEDS_MB:
        raise ConfigurationError(f"{BUILD} needs {NEEDS_MB} MB of free disk; there are {free_mb} MB")
    click.echo(f"making an emulated machine in {BUILD} (once): 140 MB of Debian's packages, 130 MB of wheels", err=True)
    workspace, root = BUILD / "packages", BUILD / "root"
    for package in debian.fetch(PACKAGES, workspace):
        if package.name.startswith("qemu-"):
            debian.unpack(package, workspace / "qemu")
        elif package.name.endswith(("_arm64.deb", "_all.deb")):
            debian.unpack(package, root)
    shutil.move(workspace / "qemu" / "usr" / "bin" / QEMU, BUILD / QEMU)
    shutil.rmtree(workspace)
    _install_wheels(root / WHEELS)
    for processor in PROCESSORS:
        _fit(processor)


def _install_wheels(folder: Path) -> None:
    platforms = [*(f"manylinux_2_{minor}_aarch64" for minor in GLIBC_MINORS), "manylinux2014_aarch64"]
    command = [
        *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile"),
        *("--require-hashes", "--requirement", str(LOCK), "--target", str(folder), "--only-binary", ":all:"),
        *("--python-version", PYTHON, "--implementation", "cp"),
        *(option for platform in platforms for option in ("--platform", platform)),
    ]
    if subprocess.run(command, check=False).returncode:
        raise ConfigurationError("pip install failed, as said above; a registry may need a proxy or a mirror")


def _fit(processor: Processor) -> None:
    """What QEMU shows instead of this machine's files, and the program that starts it.

    QEMU 7.2 hands this machine's own /proc/cpuinfo through, and onnxruntime from 1.28 on does not survive one
    without an ARM processor in it.
    """
    view = BUILD / processor.name
    (view / "proc").mkdir(parents=True)
    (view / "proc" / "cpuinfo").write_text(processor.cpuinfo)
    for name in ("etc", "lib", "usr"):
        (view / name).symlink_to(Path("..", "root", name))
    python = Machine(BUILD).python(processor)
    emulate = [str(BUILD / QEMU), "-cpu", processor.name, "-L", str(view)]
    program = str(BUILD / "root" / "usr" / "bin" / f"python{PYTHON}")
    python.write_text(
        "#!/bin/sh\n"
        f"export PYTHONPYCACHEPREFIX={shlex.quote(str(BUILD / 'pycache'))}\n"
        f'exec {shlex.join(emulate)} -0 "$0" {shlex.quote(program)} "$@"\n'
    )
    python.chmod(0o755)


def environment() -> dict[str, str]:
    """This process's environment, without what is said to its own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
