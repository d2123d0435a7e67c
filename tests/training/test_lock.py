"""One process trains a run, and others are told so."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from training import lock, resume, runs, train
from training.errors import ConfigurationError
from training.recipes import Recipe


def test_a_run_is_taken_by_one_until_its_block_ends(tmp_path: Path) -> None:
    with lock.taken(tmp_path):
        assert lock.is_taken(tmp_path)
        with pytest.raises(ConfigurationError, match="is being trained by another process"), lock.taken(tmp_path):
            pytest.fail("two have it")
        assert lock.is_taken(tmp_path)
    assert not lock.is_taken(tmp_path)


def test_a_file_system_without_locks_keeps_nobody_from_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with lock.taken(tmp_path):
        assert not lock.is_taken(tmp_path)


def test_a_training_has_its_run_from_the_first_epoch_to_the_end(bands_npz: Path, tmp_path: Path) -> None:
    taken = []
    options = train.Options(data=str(bands_npz), recipe=Recipe(epochs=1))
    run = train.train_and_evaluate(options, tmp_path, lambda made: taken.append(lock.is_taken(made.path)))
    assert taken == [True]
    assert not lock.is_taken(run.path)


def test_nobody_goes_on_with_a_run_that_is_being_trained(tmp_path: Path) -> None:
    run = runs.create(tmp_path, "lenet", "d")
    runs.write_json(run.config, {"created": "2026-01-01"})
    run.state.touch()
    assert resume.newest(tmp_path) == run
    with lock.taken(run.path):
        with pytest.raises(ConfigurationError, match="is being trained by another process"):
            train.go_on(run)
        with pytest.raises(ConfigurationError, match=r"there is no run in .* that was cut off"):
            resume.newest(tmp_path)
