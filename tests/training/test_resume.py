"""A training that is cut off and goes on ends as if nothing had happened."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from click.testing import CliRunner

from training import callbacks, finish, hardware, resume, runs, train
from training.__main__ import main
from training.errors import ConfigurationError
from training.recipes import Recipe

ROOT = Path(__file__).parents[2]
EVERYTHING = Recipe(
    "adamw",
    learning_rate=5e-3,
    schedule="cosine",
    warmup_epochs=1.5,
    weight_decay=0.01,
    label_smoothing=0.1,
    ema=0.9,
    epochs=4,
    batch_size=64,
    shift=1,
    flip=True,
    erasing=0.5,
)
SGD = Recipe("sgd", learning_rate=0.05, epochs=4, batch_size=64)


class CutOffError(Exception):
    """What ends a training in these tests."""


class Ends:
    """The last state of each run, which is gone once the run is complete."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: dict[runs.Run, resume.State] = {}
        self.finish = finish.finish
        monkeypatch.setattr(train, "finish", self._note)

    def _note(self, run: runs.Run, *arguments: Any) -> None:
        self.states[run] = resume.read(run)
        self.finish(run, *arguments)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    return Ends(monkeypatch)


def cut_off_in(owner: Any, name: str, epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `owner`'s method end the training in `epoch`, counted from 0, before it does anything."""
    original = getattr(owner, name)

    def method(self: Any, number: int, *arguments: Any) -> None:
        if number == epoch:
            raise CutOffError
        original(self, number, *arguments)

    monkeypatch.setattr(owner, name, method)


def cut_off(options: train.Options, root: Path, where: Callable[[pytest.MonkeyPatch], None]) -> runs.Run:
    made: list[runs.Run] = []
    with pytest.MonkeyPatch.context() as patch:
        where(patch)
        with pytest.raises(CutOffError):
            train.train_and_evaluate(options, root, made.append)
    assert not made[0].complete
    return made[0]


def assert_same(one: tuple[npt.NDArray[Any], ...], other: tuple[npt.NDArray[Any], ...]) -> None:
    assert len(one) == len(other) > 0
    assert [a.tobytes() for a in one] == [b.tobytes() for b in other]


@pytest.mark.parametrize(
    ("architecture", "recipe", "is_mixed"),
    [("smallcnn", EVERYTHING, False), ("lenet", SGD, False), ("lenet", EVERYTHING, True)],
)
def test_resumed_run_equals_the_uninterrupted_one(
    architecture: str,
    recipe: Recipe,
    is_mixed: bool,
    bands_npz: Path,
    tmp_path: Path,
    ends: Ends,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on a GPU: with a loss that is scaled, by a factor that has a past.
    monkeypatch.setattr(hardware, "mixed_policy", lambda: "mixed_float16")
    options = train.Options(str(bands_npz), architecture, recipe, seed=5, mixed_precision=is_mixed)
    whole = train.train_and_evaluate(options, tmp_path)
    # The history of the third epoch is written already, its best model and its state are not.
    cut = cut_off(options, tmp_path, lambda patch: cut_off_in(callbacks.KeepBest, "on_epoch_end", 2, patch))
    assert resume.read(cut).epoch == 2
    assert len(runs.read_json(cut.history)["epoch"]) == 3
    train.go_on(cut)
    one, other = ends.states[whole], ends.states[cut]
    assert_same(one.arrays, other.arrays)
    assert replace(one, arrays=()) == replace(other, arrays=())
    for path in ("history", "metrics", "reference"):
        assert runs.read_json(getattr(cut, path)) == runs.read_json(getattr(whole, path))
    scales = [array for array in one.arrays if array.shape == () and array > 1000]
    assert len(scales) == (1 if is_mixed else 0)
    first, second = (finish.load_model(run) for run in (whole, cut))
    assert_same(tuple(first.get_weights()), tuple(second.get_weights()))
    assert not whole.state.exists()
    assert not cut.state.exists()


def test_best_epoch_before_the_cut_is_kept(
    bands_npz: Path, tmp_path: Path, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = train.Options(data=str(bands_npz), recipe=replace(SGD, epochs=2))
    cut = cut_off(options, tmp_path, lambda patch: cut_off_in(callbacks.Metrics, "on_epoch_begin", 1, patch))
    state = resume.read(cut)
    resume.write(cut, replace(state, best=2.0))  # no epoch can be better
    best = cut.best_model.read_bytes()
    train.go_on(cut)
    assert runs.read_json(cut.metrics)["best_epoch"] == state.best_epoch == 1
    assert cut.best_model.read_bytes() == best


def test_cut_off_after_the_last_epoch_only_evaluates(bands_npz: Path, tmp_path: Path) -> None:
    def in_evaluation(patch: pytest.MonkeyPatch) -> None:
        def draw(*arguments: Any) -> None:
            raise CutOffError

        patch.setattr(runs, "write_figure", draw)

    options = train.Options(data=str(bands_npz), recipe=replace(SGD, epochs=2))
    cut = cut_off(options, tmp_path, in_evaluation)
    history = cut.history.read_bytes()
    train.go_on(cut)
    assert cut.complete
    assert cut.history.read_bytes() == history


def test_killed_process_goes_on_by_the_command(bands_npz: Path, tmp_path: Path, ends: Ends) -> None:
    options = train.Options(data=str(bands_npz), recipe=Recipe(epochs=12, batch_size=32))
    whole = train.train_and_evaluate(options, tmp_path / "whole")
    words = ["--data", bands_npz, "--recipe", tmp_path / "mine.toml", "--runs", tmp_path / "cut"]
    (tmp_path / "mine.toml").write_text("epochs = 12\nbatch_size = 32\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cut").glob("*/models/last.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    cut = resume.newest(tmp_path / "cut")
    assert 1 <= resume.read(cut).epoch < 12
    done = CliRunner().invoke(main, ["--resume", "--runs", str(tmp_path / "cut")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(cut.path)
    assert_same(ends.states[cut].arrays, ends.states[whole].arrays)
    again = CliRunner().invoke(main, ["--resume", str(cut.path)])
    assert again.exit_code == 78
    assert "is complete: there is nothing to go on with" in again.stderr


@pytest.fixture
def cut(bands_npz: Path, tmp_path: Path) -> runs.Run:
    """A LeNet, cut off in its second epoch, that was trained on a copy of the data."""
    copy = tmp_path / "copy.npz"
    copy.write_bytes(bands_npz.read_bytes())
    options = train.Options(data=str(copy), recipe=replace(SGD, epochs=2))
    return cut_off(options, tmp_path, lambda patch: cut_off_in(callbacks.Metrics, "on_epoch_begin", 1, patch))


def test_what_cannot_go_on_says_why(cut: runs.Run, bands_npz: Path, tmp_path: Path) -> None:
    whole = cut.state.read_bytes()
    state = resume.read(cut)
    resume.write(cut, replace(state, arrays=state.arrays[1:]))
    with pytest.raises(ConfigurationError, match="does not fit the model: its code has changed"):
        train.go_on(cut)
    cut.state.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match=r"cannot read .*last\.npz"):
        train.go_on(cut)
    cut.state.write_bytes(whole)
    with np.load(bands_npz) as file:
        changed = dict(file)
    changed["label"] = changed["label"][::-1]
    np.savez(tmp_path / "copy.npz", **changed)
    with pytest.raises(ConfigurationError, match=r"copy\.npz is no longer what .* was begun with"):
        train.go_on(cut)
    config = runs.read_json(cut.config)
    runs.write_json(cut.config, config | {"options": config["options"] | {"colour": 1}})
    with pytest.raises(ConfigurationError, match=r"config\.json holds no options of this version .*colour"):
        train.go_on(cut)
    runs.write_json(cut.config, config | {"options": config["options"] | {"recipe": {"epochs": 0}}})
    with pytest.raises(ConfigurationError, match=r"config\.json: epochs must be at least 1"):
        train.go_on(cut)


def test_diverged_epoch_leaves_no_state(bands_npz: Path, tmp_path: Path) -> None:
    made: list[runs.Run] = []
    options = train.Options(data=str(bands_npz), recipe=Recipe(learning_rate=1e30, epochs=3))
    with pytest.raises(ConfigurationError, match="no longer a number"):
        train.train_and_evaluate(options, tmp_path, made.append)
    history = runs.read_json(made[0].history)["loss"]
    finite = [value for value in history if value is not None]
    assert len(finite) < len(history)
    assert not made[0].state.exists() or resume.read(made[0]).epoch == len(finite)


def test_dropout_goes_on_with_its_random_numbers() -> None:
    layer = tf.keras.layers.Dropout(0.5)
    model = tf.keras.Sequential([layer])
    model(np.ones((1, 4), np.float32))
    assert any(variable is layer.seed_generator.state for variable in model.variables)
