"""A fresh checkout as a newcomer has it after `git clone` and `make`, with environments that stand on ours."""

import os
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

PIP = '#!/bin/sh\nexec "$(dirname "$0")/python" -m pip "$@"\n'


def clone(folder: Path) -> Path:
    """The commit that is checked out, in a folder of its own, with those environments that `make` has made here.

    `TRAIN` and `VIEWER` are their Pythons, where they are elsewhere.

    Raises: subprocess.CalledProcessError outside of git.
    """
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)  # noqa: S607
    _environment(Path(sys.executable), folder / ".venv-edge")
    for name in ("train", "viewer"):
        python = Path(os.environ.get(name.upper(), ROOT / f".venv-{name}" / "bin" / "python"))
        if python.exists():
            _environment(python, folder / f".venv-{name}")
    return folder


def _environment(python: Path, own: Path) -> None:
    """An environment that has another's packages; what is installed into it leaves the other alone."""
    subprocess.run([str(python), "-m", "venv", "--without-pip", str(own)], check=True)
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    theirs = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    ours = own / Path(theirs).relative_to(python.parent.parent)
    (ours / "theirs.pth").write_text(f"import site; site.addsitedir({theirs!r})\n")
    pip = own / "bin" / "pip"
    pip.write_text(PIP)
    pip.chmod(0o755)
    (own / "ready").touch()
