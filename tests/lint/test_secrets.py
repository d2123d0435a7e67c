"""`make secrets`: the tree has none, and one that is planted is found, in whatever kind of file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

# Put together here, so that this file is not found itself.
KEY = b"-----BEGIN %sPRIVATE " + b"KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n"
TOKEN = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"  # pragma: allowlist secret
PLANTED = {
    "a key": ("key.pem", KEY % b"", "a private key is in the tree: key.pem"),
    "a key of OpenSSL's": ("server.key", KEY % b"RSA ", "a private key is in the tree: server.key"),
    "a key under a password": ("key.pem", KEY % b"ENCRYPTED ", "a private key is in the tree: key.pem"),
    "a key in a binary file": ("store.bin", b"\xff\xfe\x00" + KEY % b"EC ", "a private key is in the tree: store.bin"),
    "a token": ("ci.yaml", f"token: {TOKEN}\n".encode(), "a secret is in the tree"),
    "a token in code": ("app.py", f'TOKEN = "{TOKEN}"\n'.encode(), "a secret is in the tree"),
    "a password": ("app.py", b'password = "kJ8s7d' + b'Lq0mZx"\n', "a secret is in the tree"),
}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is needed to know what is in the tree")


def secrets(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "-f", str(ROOT / "Makefile"), "secrets", f"EDGE={sys.executable}"]
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


def test_a_tree_that_git_does_not_know_is_not_accused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(KEY % b"")
    done = secrets(tmp_path)
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        ["make: this is no git checkout: it is not searched for secrets"],
    )
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    done = secrets(tmp_path)
    assert done.returncode == 2
    assert "make: git cannot list this tree: it was not searched for secrets" in done.stderr
    assert "is in the tree" not in done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    (tmp_path / "app.py").write_text('print("hello")\n')
    (tmp_path / "gone.py").write_text("")
    (tmp_path / ".gitignore").write_text("mine.env\n")
    git(tmp_path, "add", ".")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "mine.env").write_bytes(KEY % b"")
    return tmp_path


@pytest.mark.parametrize("name", PLANTED)
def test_a_secret_in_a_new_file_is_found(repository: Path, name: str) -> None:
    path, content, reason = PLANTED[name]
    (repository / path).write_bytes(content)
    ended = secrets(repository)
    assert ended.returncode != 0
    assert reason in ended.stderr


@pytest.mark.parametrize("name", ["a key", "a token"])
def test_a_secret_in_a_tracked_file_is_found(repository: Path, name: str) -> None:
    _, content, reason = PLANTED[name]
    (repository / "app.py").write_bytes(content)
    git(repository, "add", "app.py")
    ended = secrets(repository)
    assert ended.returncode != 0
    assert reason.split(":")[0] in ended.stderr


def test_what_git_ignores_or_the_line_allows_is_passed_over(repository: Path) -> None:
    (repository / "test.py").write_text(f'TOKEN = "{TOKEN}"  # pragma: allowlist secret\n')
    ended = secrets(repository)
    assert (ended.returncode, ended.stderr) == (0, "")
