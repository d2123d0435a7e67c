"""Packs what a device needs to run the apps into one archive: `make bundle ARCH=aarch64`.

The archive holds wheels, the model, systemd units, `install.sh` and SHA256SUMS; the same inputs give the same bytes.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

import click

from edge import cli
from edge.errors import ConfigurationError
from edge.model import load_model

ROOT = Path(__file__).parent.parent
NAME = "onnx-kafka-edge"
ARCHITECTURES = ("aarch64", "x86_64")
PYTHONS = ("3.11", "3.12", "3.13")
LOCK = ROOT / "locks" / "edge.txt"
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "requirements-edge.txt")
UNITS = ("edge-classifier@.service", "edge-query@.service", "edge.env", "install.sh")
NEEDS_MB = 300
"""Free disk that an installation needs: 170 MB stay."""
EPOCH_S = 315_532_800
"""The date of every file, 1980-01-01: the earliest that a wheel can say."""
GLIBC_MINOR = 28
"""Wheels for glibc 2.28 or older, as on Debian 10 and whatever is newer."""


@click.command(epilog="Example: python -m deploy.bundle --arch aarch64 --python 3.11")
@click.option("--arch", type=click.Choice(ARCHITECTURES), required=True, help="The device's processor, as `uname -m`.")
@click.option(
    "--python",
    "pythons",
    type=click.Choice(PYTHONS),
    multiple=True,
    default=PYTHONS,
    show_default=True,
    help="A Python that the device may have; repeat it for several.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=Path("samples/lenet.onnx"),
    show_default=True,
    help="The .onnx file to serve.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dist"),
    show_default=True,
    help="Folder of the archive.",
)
def main(arch: str, pythons: tuple[str, ...], model: Path, output: Path) -> None:
    """Write the archive, and its SHA-256 beside it; prints the archive's path."""
    served = load_model(model)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, f"{NAME}-{_version()}-{arch}")
        wheels = bundle / "wheels"
        wheels.mkdir(parents=True)
        for python in pythons:
            _download(wheels, arch, python)
        _build(wheels, Path(folder, "source"))
        shutil.copyfile(model, bundle / "model.onnx")
        for name in UNITS:
            shutil.copyfile(ROOT / "deploy" / name, bundle / name)
        shutil.copytree(ROOT / "deploy" / "credentials", bundle / "credentials")
        (bundle / "requirements.txt").write_text(_requirements(wheels))
        (bundle / "about").write_text(_about(arch, pythons))
        (bundle / "SHA256SUMS").write_text("".join(_sums(bundle)))
        output.mkdir(parents=True, exist_ok=True)
        archive = output / f"{bundle.name}.tar.gz"
        _pack(bundle, archive)
    archive.with_name(f"{archive.name}.sha256").write_text(f"{_sha256(archive)}  {archive.name}\n")
    name, size_mb = served.contract.name, archive.stat().st_size / 1e6
    click.echo(f"{name} {served.sha256} for Python {', '.join(pythons)} on {arch}, {size_mb:.0f} MB", err=True)
    click.echo(archive)


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def _download(wheels: Path, arch: str, python: str) -> None:
    """The locked wheels of the edge for another machine's Python."""
    platforms = [f"manylinux_2_{minor}_{arch}" for minor in range(GLIBC_MINOR, 4, -1)] + [f"manylinux2014_{arch}"]
    _pip(
        "download",
        *("--require-hashes", "-r", str(LOCK), "--dest", str(wheels), "--only-binary", ":all:"),
        *("--python-version", python, "--implementation", "cp"),
        *(option for platform in platforms for option in ("--platform", platform)),
    )


def _build(wheels: Path, source: Path) -> None:
    """The project's own wheel, from a copy in which nothing depends on this checkout's state or its umask."""
    shutil.copytree(ROOT / "edge", source / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PROJECT:
        shutil.copyfile(ROOT / name, source / name)
    for path in source.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))


def _pip(*options: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *options]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH_S)}
    if subprocess.run(command, env=environment, umask=0o022, check=False).returncode:
        raise ConfigurationError(f"pip {options[0]} failed, as said above; a registry may need a proxy or a mirror")


def _requirements(wheels: Path) -> str:
    (own,) = wheels.glob(f"{NAME.replace('-', '_')}-*.whl")
    return f"{LOCK.read_text()}{NAME}=={_version()} --hash=sha256:{_sha256(own)}\n"


def _about(arch: str, pythons: tuple[str, ...]) -> str:
    """What `install.sh` has to know."""
    return f'VERSION={_version()}\nARCH={arch}\nPYTHONS="{" ".join(pythons)}"\nNEEDS_MB={NEEDS_MB}\n'


def _sums(bundle: Path) -> list[str]:
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    return [f"{_sha256(path)}  {path.relative_to(bundle).as_posix()}\n" for path in files]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(bundle: Path, archive: Path) -> None:
    """Write a .tar.gz of a folder whose bytes depend on names and contents alone; it is there only when it is whole."""
    part = archive.with_name(f"{archive.name}.part")
    with (
        part.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=EPOCH_S, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(bundle.rglob("*")):
            tar.add(path, path.relative_to(bundle.parent).as_posix(), recursive=False, filter=_plain)
    part.replace(archive)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = EPOCH_S
    entry.mode = 0o755 if entry.isdir() or entry.name.endswith("/install.sh") else 0o644
    return entry


if __name__ == "__main__":
    cli.run(main, "deploy.bundle")
