"""An environment of its own for each peer in Python: made once from a lock, and kept until that lock changes."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import click

from bench.errors import AppError

ROOT = Path(__file__).parent.parent.parent
LOCKS = ROOT / "locks"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onnx-kafka-edge" / "peers"
_STATE = "made-from"
_QUIET = ("--quiet", "--disable-pip-version-check")


class UnavailableError(AppError):
    """A peer cannot be installed here: the message says what to do; the others are measured without it."""


@cache
def python(name: str) -> Path:
    """The interpreter of an environment with what `locks/peers-<name>.txt` pins; made now when it is not there.

    Raises: UnavailableError when it cannot be made.
    """
    lock, directory = LOCKS / f"peers-{name}.txt", CACHE / name
    interpreter = directory / "bin" / "python"
    keep(directory, state_of(lock), lambda: _install(name, lock, directory, interpreter))
    return interpreter


def state_of(lock: Path) -> str:
    """What an environment is made from: the lock's very bytes, and this Python."""
    return f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.executable} {platform.python_version()}"


def is_fresh(directory: Path, state: str) -> bool:
    """Whether a directory was made, to its end, from this."""
    try:
        return (directory / _STATE).read_text("utf-8") == state
    except OSError:
        return False


def keep(directory: Path, state: str, make: Callable[[], None]) -> None:
    """Empty and fill a directory, unless it is fresh; one process at a time, and fresh only once `make` has ended.

    Raises: UnavailableError when the disk does not let it, and whatever `make` raises.
    """
    if is_fresh(directory, state):
        return
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with directory.with_name(f"{directory.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if is_fresh(directory, state):
                return
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            make()
            (directory / _STATE).write_text(state, "utf-8")
    except OSError as error:
        raise UnavailableError(f"{directory} cannot be written: {error.strerror or error}") from None


def _install(name: str, lock: Path, directory: Path, interpreter: Path) -> None:
    click.echo(f"installing the packages of {lock.name} into {directory} (once, about a minute) …", err=True)
    advice = "if the package registry cannot be reached, set a proxy (HTTPS_PROXY) or a mirror (PIP_INDEX_URL)"
    _run(
        [sys.executable, "-m", "venv", str(directory)],
        f"{sys.executable} cannot make an environment for {name}: install its venv (Debian: python3-venv)",
    )
    _run(
        [str(interpreter), "-m", "pip", "install", *_QUIET, "--require-hashes", "-r", str(lock)],
        f"the packages of {lock.name} cannot be installed: {advice}",
    )


def _run(command: list[str], failure: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        raise UnavailableError(f"{failure} ({lines[-1].strip() if lines else f'exit code {ended.returncode}'})")
