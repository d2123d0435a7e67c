"""Fashion-MNIST out of Debian's package, for machines that reach a package mirror but not the data's own host."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from training import idx
from training.errors import BadDataError

PACKAGE = "dataset-fashion-mnist"
FOLDER = Path("/usr/share/datasets/fashion-mnist")
TIMEOUT_S = 600


@contextmanager
def fashion_mnist_folder() -> Iterator[Path]:
    """A folder with the four IDX files: the installed package's, or a temporary one with the package unpacked.

    Raises: BadDataError, saying why, where neither is possible.
    """
    if idx.holds_idx(FOLDER):
        yield FOLDER
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield fetch(Path(temporary))


def fetch(workspace: Path) -> Path:
    """Download the package with apt and unpack it inside `workspace`; needs no root, and installs nothing."""
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise BadDataError(f"{' and '.join(missing)} not found: this is no Debian or Ubuntu machine")
    click.echo(f"Fetching Debian's package {PACKAGE} (31 MB) ...", err=True)
    package = _download(workspace)
    _run(["dpkg-deb", "-x", str(package), "unpacked"], workspace)
    return workspace / "unpacked" / FOLDER.relative_to("/")


def _download(workspace: Path) -> Path:
    try:
        _run(["apt-get", "-q", "download", PACKAGE], workspace)
    except BadDataError:
        # No package list, or one that names a version that is gone: fetch a private one, which needs no root.
        private = _private_lists(workspace)
        _run(["apt-get", "-q", *private, "update"], workspace)
        _run(["apt-get", "-q", *private, "download", PACKAGE], workspace)
    packages = list(workspace.glob(f"{PACKAGE}_*.deb"))
    if not packages:
        raise BadDataError(f"apt-get download left no {PACKAGE} package")
    return packages[0]


def _private_lists(workspace: Path) -> list[str]:
    for folder in ("lists", "cache"):
        (workspace / folder).mkdir(exist_ok=True)
    options = [f"Dir::State::Lists={workspace / 'lists'}", f"Dir::Cache={workspace / 'cache'}"]
    options += ["Acquire::Retries=1", "Acquire::http::Timeout=20", "Acquire::https::Timeout=20"]
    return [word for option in options for word in ("-o", option)]


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BadDataError(f"{command[0]} did not finish within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb: error:"))]
        raise BadDataError(f"{command[0]} failed: {errors[0] if errors else f'exit code {done.returncode}'}")
