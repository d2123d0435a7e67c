"""`python -m training`: what it prints and writes, and what it says to a mistake or an interrupt."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from training import resume, runs
from training.__main__ import ARCHITECTURES as NAMES
from training.__main__ import _interrupted, main
from training.dataset import Dataset
from training.models import ARCHITECTURES
from training.recipes import Recipe

ROOT = Path(__file__).parents[2]


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_command_trains_and_prints_the_run_last(bands_npz: Path, bands: Dataset, tmp_path: Path) -> None:
    small = ["--architecture", "smallcnn", "--epochs", 1, "--batch-size", 64]
    done = command("--data", bands_npz, "--runs", tmp_path, *small)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    run = runs.newest(tmp_path)
    metrics = runs.read_json(run.metrics)
    assert lines[-1] == str(run.path)
    assert f"test accuracy        {metrics['test_accuracy']:.4f}" in lines
    assert f"calibration error    {metrics['calibration']['ece']['after']:.4f}" in lines
    for name, value in metrics["per_class_accuracy"].items():
        assert f"{name:<6}  {value:.4f}" in lines
    assert "loss" not in done.stdout
    assert "5/5 - " in done.stderr


def test_command_takes_the_recipe_and_overrides_it(bands_npz: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('optimizer = "sgd"\nepochs = 9\nshift = 1\n')
    words = ["--recipe", recipe, "--epochs", 1, "--set", "flip=true", "--set", "schedule=cosine"]
    done = command("--data", bands_npz, "--runs", tmp_path, *words)
    assert done.exit_code == 0, done.output
    expected = Recipe(optimizer="sgd", epochs=1, shift=1, flip=True, schedule="cosine")
    assert runs.read_json(runs.newest(tmp_path).config)["options"]["recipe"] == asdict(expected)


def test_shift_must_leave_something_of_the_image(bands_npz: Path, tmp_path: Path) -> None:
    done = command("--data", bands_npz, "--runs", tmp_path, "--set", "shift=10")
    assert done.exit_code == 78
    assert "a shift of up to 10 pixels leaves nothing of images of 12 x 10" in done.stderr


def test_evaluation_is_as_asked_for_and_tensorboard_is_told(bands_npz: Path, tmp_path: Path) -> None:
    options = ["--epochs", 4, "--measure-every", 2, "--no-calibrate"]
    done = command("--data", bands_npz, "--runs", tmp_path, *options)
    assert done.exit_code == 0, done.output
    run = runs.newest(tmp_path)
    asked = runs.read_json(run.config)["options"]
    assert (asked["measure_every"], asked["calibrate"]) == (2, False)
    assert runs.read_json(run.measurements)["epoch"] == [2, 4]
    assert runs.read_json(run.metrics)["calibration"]["reason"] == "calibration was switched off"
    (log,) = run.logs.iterdir()
    events = map(tf.compat.v1.Event.FromString, tf.data.TFRecordDataset(str(log)).as_numpy_iterator())
    steps = {(event.step, value.tag) for event in events for value in event.summary.value}
    assert {step for step, tag in steps if tag == "test_accuracy"} == {1, 2, 3, 4}


def test_dont_train_evaluates_the_newest_or_the_named_run(trained: runs.Run, bands_npz: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in trained.path.rglob("*"))
    metrics = runs.read_json(trained.metrics)
    accuracy = f"test accuracy        {metrics['test_accuracy']:.4f}"
    error = f"calibration error    {metrics['calibration']['ece']['after']:.4f}"
    for arguments in (["--runs", trained.path.parent], [trained.path], [trained.path, "--data", bands_npz]):
        done = command("--dont-train", *arguments)
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines()[-3:] == [accuracy, error, str(trained.path)]
    assert sorted((p, p.stat().st_mtime_ns) for p in trained.path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dont-train", "--epochs", "3"], 2, "--dont-train contradicts --epochs"),
        (["--dont-train", "--seed", "1", "--batch-size", "2"], 2, "contradicts --batch-size, --seed"),
        ([str(ROOT)], 2, "RUN is only for --resume, --dont-train and --compare"),
        (["--resume", "--data", "a.npz", "--set", "flip=true"], 2, "--resume contradicts --data, --set: a run goes on"),
        (["--resume", "--dont-train"], 2, "--dont-train contradicts --resume"),
        (["--resume"], 78, "there is no run in"),
        (["--resume", str(ROOT)], 78, "has no finished epoch to go on from"),
        (["--dont-train", str(ROOT)], 78, "is no complete run"),
        (["--dont-train", "/nowhere"], 2, "does not exist"),
        (["--architecture", "alexnet"], 2, "'alexnet' is not one of lenet, smallcnn, resnet20"),
        (["--architecture", "nowhere:Net"], 78, "cannot import nowhere from"),
        (["--epochs", "0"], 2, "--epochs"),
        (["--batch-size", "0"], 2, "--batch-size"),
        (["--learning-rate", "0"], 2, "--learning-rate"),
        (["--seed", "-1"], 2, "--seed"),
        (["--recipe", "alexnet"], 78, "there is no recipe 'alexnet'; known are default, lenet,"),
        (["--recipe", "nowhere.toml"], 78, "cannot read the recipe nowhere.toml: No such file"),
        (["--set", "ema=2"], 78, "lenet.toml with ema=2: ema must be at least 0 and below 1, not 2"),
        (["--set", "epoch=2"], 78, "there is no epoch in a recipe: did you mean epochs?"),
        (["--set", "flip"], 78, "'flip' sets nothing: write key=value"),
        (["--dont-train", "--set", "flip=true"], 2, "--dont-train contradicts --set"),
        (["--data", "fashon_mnist"], 65, "did you mean fashion_mnist"),
        (["--data", "nowhere.npz"], 65, "nowhere.npz does not exist"),
        (["--data", "~nobody-here/a.npz"], 65, "~nobody-here/a.npz does not exist"),
        (["--recipe", "~nobody-here/a.toml"], 78, "cannot read the recipe ~nobody-here/a.toml"),
    ],
)
def test_mistakes_are_one_clear_error(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = command("--runs", tmp_path, *arguments)
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


def test_without_tensorflow_it_is_said_where_to_get_it() -> None:
    hidden = "import sys; sys.path.insert(0, '.'); sys.modules['tensorflow'] = None; sys.argv = ['training']; "
    script = f"{hidden} import runpy; runpy.run_module('training', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert ended.stderr.startswith("Error: training needs tensorflow, which is not installed here: . .venv-train/bin")


def test_dont_train_without_a_run(tmp_path: Path) -> None:
    done = command("--dont-train", "--runs", tmp_path)
    assert done.exit_code == 78
    assert "there is no complete run in" in done.stderr


def test_dont_train_on_other_data_must_fit(trained: runs.Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", image=np.zeros((10, 4, 4), np.uint8), label=np.arange(10) % 2)
    done = command("--dont-train", trained.path, "--data", tmp_path / "other.npz")
    assert done.exit_code == 78
    assert "takes images (12, 10, 3) of 3 classes" in done.stderr


def test_dont_train_on_classes_of_other_names_is_refused(trained: runs.Run, bands_npz: Path, tmp_path: Path) -> None:
    with np.load(bands_npz) as file:
        arrays = dict(file)
    np.savez(tmp_path / "other.npz", **arrays | {"label_names": np.array(["top", "bottom", "middle"])})
    done = command("--dont-train", trained.path, "--data", tmp_path / "other.npz")
    assert done.exit_code == 78
    assert "other.npz calls class 1 'bottom'; the model calls it 'middle'" in done.stderr
    np.savez(tmp_path / "unnamed.npz", **{name: array for name, array in arrays.items() if name != "label_names"})
    assert command("--dont-train", trained.path, "--data", tmp_path / "unnamed.npz").exit_code == 0


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_dont_train_with_a_damaged_model(trained: runs.Run, tmp_path: Path, content: bytes | None) -> None:
    run = runs.Run(tmp_path)
    for path in (run.config, run.metrics, run.history, run.predictions("train"), run.predictions("test")):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((trained.path / path.relative_to(tmp_path)).read_bytes())
    run.best_model.parent.mkdir()
    whole = trained.best_model.read_bytes()
    run.best_model.write_bytes(whole[: len(whole) // 2] if content is None else content)
    done = command("--dont-train", tmp_path)
    assert done.exit_code == 78, done.output
    assert "best.keras" in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_architectures_on_the_command_line_are_the_registered_ones() -> None:
    assert list(NAMES) == list(ARCHITECTURES)


OWN = """
from training.models import Classifier, layers


class Linear(Classifier):
    def make_steps(self, image_shape):
        return [layers.Flatten(name="flatten")]
"""


def test_a_class_of_the_users_own_is_found_again(bands_npz: Path, tmp_path: Path) -> None:
    (tmp_path / "own_net.py").write_text(OWN)
    for arguments in (["--data", bands_npz, "--architecture", "own_net:Linear", "--epochs", 1], ["--dont-train"]):
        process = python("-m", "training", *arguments, cwd=tmp_path)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    run = runs.newest(tmp_path / "runs")
    assert out.splitlines()[-1] == str(run.path.relative_to(tmp_path))
    assert run.path.name.endswith("-own_net_Linear-bands")
    assert runs.read_json(run.config)["architecture"] == "own_net:Linear"


def python(*arguments: object, cwd: Path = ROOT) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, *(str(a) for a in arguments)]
    return subprocess.Popen(words, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_help_does_not_wait_for_tensorflow() -> None:
    code = (
        "import sys; from training.__main__ import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    out, _ = python("-c", code).communicate(timeout=60)
    assert "--dont-train" in out
    assert "Keys: optimizer, learning_rate, momentum," in " ".join(out.split())
    assert "tensorflow" not in out.split()


def test_who_interrupts_is_told_how_to_go_on(tmp_path: Path) -> None:
    run = runs.create(tmp_path, "lenet", "d")
    assert "no run was made" in _interrupted(None, False)
    assert "has not finished an epoch" in _interrupted(run, False)
    run.state.touch()
    assert f"--resume {run.path}`" in _interrupted(run, False)
    assert "the same command with --resume" in _interrupted(run, True)
    runs.write_json(run.metrics, {})
    assert _interrupted(run, False) == f"Interrupted; {run.path} is complete."


def test_interrupt_ends_cleanly_and_keeps_what_is_done(bands_npz: Path, tmp_path: Path) -> None:
    process = python("-m", "training", "--data", bands_npz, "--epochs", 100000, "--runs", tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/models/last.npz")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    run = runs.Run(next(iter(tmp_path.iterdir())))
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("Interrupted; ")
    assert f"--resume {run.path}`" in err.splitlines()[-1]
    assert "Traceback" not in err
    # What C++ would log at import is kept back: a user sees only lines of ours and Keras's.
    assert all(line.startswith(("Epoch ", "Interrupted; ")) or " - loss: " in line for line in err.splitlines())
    assert not run.complete
    assert json.loads(run.history.read_text())["epoch"][0] == 1
    assert run.best_model.is_file()
    assert resume.read(run).epoch >= 1
    assert not list(run.path.rglob(".*"))
