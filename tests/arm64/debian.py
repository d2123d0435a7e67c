"""Debian's packages for another processor, unpacked into a folder: needs no root, and installs nothing."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edge.errors import ConfigurationError

ARCHITECTURE = "arm64"
TIMEOUT_S = 600


def fetch(packages: Sequence[str], workspace: Path) -> list[Path]:
    """Download packages, `name` of this machine's kind or `name:arm64`, and all that they depend on.

    Lists, cache and state are private to `workspace`: the system's own know no other processor.
    Raises: ConfigurationError, saying why, where that is not possible.
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} not found: the emulated machine is made of Debian's packages"
        )
    archives = workspace / "archives"
    for folder in (workspace / "lists", archives):
        (folder / "partial").mkdir(parents=True)
    (workspace / "status").touch()
    apt = ["apt-get", "--quiet", *_options(workspace)]
    _run([*apt, "update"])
    _run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages])
    return sorted(archives.glob("*.deb"))


def unpack(package: Path, folder: Path) -> None:
    """Put a package's files into a folder.

    Raises: ConfigurationError when it is damaged.
    """
    _run(["dpkg-deb", "--extract", str(package), str(folder)])


def _options(workspace: Path) -> list[str]:
    native = _run(["dpkg", "--print-architecture"]).strip()
    settings = [
        f"APT::Architectures::={native}",
        f"APT::Architectures::={ARCHITECTURE}",
        "APT::Update::Error-Mode=any",
        "Acquire::Languages=none",
        "Acquire::Retries=1",
        "Acquire::http::Timeout=30",
        "Acquire::https::Timeout=30",
        f"Dir::State={workspace}",
        f"Dir::State::Lists={workspace / 'lists'}",
        f"Dir::State::status={workspace / 'status'}",
        f"Dir::Cache={workspace}",
        f"Dir::Cache::Archives={workspace / 'archives'}",
    ]
    return [word for setting in settings for word in ("-o", setting)]


def _run(command: list[str]) -> str:
    name = command[0]
    try:
        done = subprocess.run(
            command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"{name} did not finish within {TIMEOUT_S} s: is the package mirror slow?") from None
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb: error:"))]
        reason = errors[0] if errors else f"exit code {done.returncode}"
        raise ConfigurationError(f"{name} failed ({reason}): is this Debian 12, and its package mirror reachable?")
    return done.stdout
