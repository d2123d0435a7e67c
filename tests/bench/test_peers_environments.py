"""Environments of peers: made once, made again when their lock changes, and never used half made."""

import sys
from pathlib import Path

import pytest

from bench.peers import environments
from bench.peers.environments import LOCKS, UnavailableError, is_fresh, keep, state_of
from bench.peers.java import ENDPOINTS, PINS
from bench.peers.systems import PEERS


def test_a_directory_is_filled_once_and_again_when_what_it_is_made_from_changes(tmp_path: Path) -> None:
    directory, made = tmp_path / "cache" / "quix", []

    def make() -> None:
        assert list(directory.iterdir()) == []
        made.append("made")
        (directory / "left").write_text("over")

    for state in ("one", "one", "two", "two"):
        keep(directory, state, make)
        assert is_fresh(directory, state)
    assert len(made) == 2


def test_what_was_not_made_to_its_end_is_made_again(tmp_path: Path) -> None:
    directory = tmp_path / "quix"

    def fail() -> None:
        (directory / "half").write_text("made")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(directory, "one", fail)
    assert not is_fresh(directory, "one")
    keep(directory, "one", lambda: None)
    assert is_fresh(directory, "one")
    assert not (directory / "half").exists()


def test_the_state_follows_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "peers-quix.txt"
    lock.write_text("quixstreams==3.28.1\n")
    before = state_of(lock)
    assert state_of(lock) == before
    lock.write_text("quixstreams==3.28.2\n")
    assert state_of(lock) != before


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="file/quix cannot be written: "):
        keep(tmp_path / "file" / "quix", "one", lambda: None)


def test_what_cannot_be_installed_is_told_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "LOCKS", tmp_path)
    monkeypatch.setattr(environments, "CACHE", tmp_path / "cache")
    # An interpreter with a pip that says what one without a network does.
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp {fake} "$3/bin/python"; exit 0; fi\n'
        "echo 'ERROR: No matching distribution found' >&2; exit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    (tmp_path / "peers-nothing.txt").write_text("nothing==1\n")
    with pytest.raises(UnavailableError, match=r"peers-nothing.txt cannot be installed: .*HTTPS_PROXY.*No matching"):
        environments.python("nothing")
    assert not is_fresh(tmp_path / "cache" / "nothing", state_of(tmp_path / "peers-nothing.txt"))


def test_every_lock_is_there_with_hashes() -> None:
    for name in ("quix", "faststream", "mlserver"):
        assert "--hash=sha256:" in (LOCKS / f"peers-{name}.txt").read_text()
    assert {"quix", "mlserver"} <= {system.name for system in PEERS}


def test_the_jars_are_those_of_the_endpoints() -> None:
    pinned = PINS.read_text().splitlines()[1:]
    assert all(any(line.startswith(f"{endpoint} ") for line in pinned) for endpoint in ENDPOINTS)
    clients = [line for line in pinned if line.startswith("org.apache.kafka:kafka-clients:")]
    assert clients[0].split()[0] == "org.apache.kafka:kafka-clients:4.1.1"
