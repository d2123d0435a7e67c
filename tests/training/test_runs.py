"""Run directories: never overwritten, written atomically, complete only at the end."""

import contextlib
import errno
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import runs
from training.dataset import Dataset
from training.errors import ConfigurationError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_name_says_when_what_and_on_what(tmp_path: Path) -> None:
    run = runs.create(tmp_path / "deep" / "runs", "lenet", "fashion_mnist", NOW)
    assert run.path == tmp_path / "deep" / "runs" / "20260102-030405-lenet-fashion_mnist"
    assert sorted(p.name for p in run.path.iterdir()) == ["figures", "history", "models", "predictions"]


@pytest.mark.parametrize(
    ("data", "plain"), [("my data/../x", "my_data_.._x"), ("cifar10/a:1.0", "cifar10_a_1.0"), ("..", "data")]
)
def test_name_holds_no_path(tmp_path: Path, data: str, plain: str) -> None:
    assert runs.create(tmp_path, "lenet", data, NOW).path == tmp_path / f"20260102-030405-lenet-{plain}"


def test_many_at_once_in_one_second_get_different_directories(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: runs.create(tmp_path, "lenet", "d", NOW).path, range(40)))
    assert len(set(made)) == 40


def complete(run: runs.Run, created: str) -> runs.Run:
    runs.write_json(run.config, {"created": created})
    runs.write_json(run.metrics, {})
    return run


def test_newest_is_the_last_created_complete_one(tmp_path: Path) -> None:
    late = complete(runs.create(tmp_path, "lenet", "d", NOW), "2026-05-01T00:00:00+00:00")
    complete(runs.create(tmp_path, "smallcnn", "d", NOW), "2026-04-01T00:00:00+00:00")
    crashed = runs.create(tmp_path, "lenet", "z")
    runs.write_json(crashed.config, {"created": "2026-06-01T00:00:00+00:00"})
    assert runs.newest(tmp_path) == late
    with pytest.raises(ConfigurationError, match=r"is no complete run: it has no metrics\.json"):
        runs.opened(crashed.path)


@pytest.mark.parametrize("exists", [True, False])
def test_no_complete_run(tmp_path: Path, exists: bool) -> None:
    root = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(ConfigurationError, match=r"no complete run in .*: train one with") as caught:
        runs.newest(root)
    assert caught.value.exit_code == 78


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    runs.write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        runs.write_json(path, {"new": float("nan")})
    with contextlib.suppress(RuntimeError), runs.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigurationError, match=r"cannot write .*a\.json: the disk is full$"):
        runs.write_json(tmp_path / "a.json", {})
    assert not list(tmp_path.iterdir())


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(ConfigurationError, match=r"cannot write .*runs"):
        runs.create(tmp_path / "runs", "lenet", "d")


def test_config_describes_the_run(bands: Dataset) -> None:
    config = runs.describe("lenet", {"epochs": 3}, bands)
    assert datetime.fromisoformat(config["created"]).utcoffset() is not None
    assert config["options"] == {"epochs": 3}
    assert config["dataset"] == {
        "name": "bands",
        "label_names": ["top", "middle", "bottom"],
        "image_shape": [12, 10, 3],
        "image_dtype": "uint8",
        "train_count": 300,
        "test_count": 90,
    }
    assert {"python", "tensorflow", "keras", "numpy"} <= set(config["versions"])
    assert config["git_commit"] is None or re.fullmatch("[0-9a-f]{40}", config["git_commit"])


def test_no_git_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert runs.git_commit() is None


def test_run_keeps_its_data(trained: runs.Run, bands: Dataset) -> None:
    loaded = runs.load_dataset(trained)
    assert (loaded.name, loaded.label_names) == (bands.name, bands.label_names)
    np.testing.assert_array_equal(loaded.train.images, bands.train.images)
    np.testing.assert_array_equal(loaded.test.labels, bands.test.labels)
