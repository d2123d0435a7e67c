"""Several devices, and mixed precision: the same training within rounding, and what is saved is in single precision."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from training import evaluate, finish, hardware, models, recipes, resume, runs, train
from training.dataset import Dataset
from training.errors import ConfigurationError
from training.recipes import Recipe

ROOT = Path(__file__).parents[2]
TWO_DEVICES = """
import sys

import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""
"""TensorFlow has to be told of virtual devices before anything else, hence a process of its own."""


COMMAND = """
from training.__main__ import main

main(sys.argv[1:])
"""
CUT_OFF = """
import os

from training import callbacks

keep = callbacks.KeepBest.on_epoch_end
callbacks.KeepBest.on_epoch_end = lambda self, epoch, *rest: os._exit(9) if epoch == 2 else keep(self, epoch, *rest)
"""
"""As a loss of power does, before the third epoch has left a state."""


def on_two(*arguments: object, before: str = "") -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-c", TWO_DEVICES + before + COMMAND, *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_two_devices_have_the_loss_curve_of_one(bands_npz: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("learning_rate = 5e-4\nepochs = 3\nbatch_size = 30\nema = 0.5\nshift = 1\n")
    one = train.train_and_evaluate(train.Options(data=str(bands_npz), recipe=recipes.load(str(recipe))), tmp_path / "1")
    done = on_two("--data", bands_npz, "--recipe", recipe, "--runs", tmp_path / "2", "--replicas", 2)
    assert done.returncode == 0, done.stderr
    two = runs.newest(tmp_path / "2")
    options, same = (runs.read_json(run.config)["options"] for run in (one, two))
    assert same == options | {"replicas": 2}
    first, second = (runs.read_json(run.history) for run in (one, two))
    assert first["loss"][0] > 1.5 * first["loss"][2] > 0.1
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(second[name], first[name], rtol=0.01)


def test_two_devices_go_on_as_if_nothing_had_happened(bands_npz: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("learning_rate = 5e-4\nepochs = 4\nbatch_size = 30\nema = 0.5\nshift = 1\n")
    words = ["--data", bands_npz, "--recipe", recipe, "--architecture", "smallcnn", "--replicas", 2]
    whole = on_two(*words, "--runs", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert on_two(*words, "--runs", tmp_path / "cut", before=CUT_OFF).returncode == 9
    cut = resume.newest(tmp_path / "cut")
    assert resume.read(cut).epoch == 2
    gone_on = on_two("--resume", cut.path)
    assert gone_on.returncode == 0, gone_on.stderr
    run = runs.newest(tmp_path / "whole")
    assert runs.read_json(cut.history) == runs.read_json(run.history)
    assert runs.read_json(cut.metrics) == runs.read_json(run.metrics)
    assert runs.read_json(run.metrics)["best_epoch"] > 2
    one, other = (finish.load_model(each).get_weights() for each in (run, cut))
    assert [a.tobytes() for a in one] == [b.tobytes() for b in other]


def test_more_devices_than_there_are(bands_npz: Path, tmp_path: Path) -> None:
    count = len(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))
    options = train.Options(data=str(bands_npz), replicas=count + 1)
    with pytest.raises(ConfigurationError, match=rf"--replicas {count + 1} needs as many devices; TensorFlow sees"):
        train.train_and_evaluate(options, tmp_path)


def test_precision_is_mixed_only_within_the_block() -> None:
    before = tf.keras.mixed_precision.global_policy().name
    with hardware.precision(True):
        model = models.build_model("smallcnn", (8, 8, 1), 3)
    assert tf.keras.mixed_precision.global_policy().name == before
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    assert model.scale(images).dtype in (tf.bfloat16, tf.float16)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model(images).dtype == tf.float32
    assert np.asarray(model.probabilities(images)).dtype == np.float32


def test_mixed_precision_learns_and_saves_a_model_in_single_precision(
    bands: Dataset, bands_npz: Path, tmp_path: Path
) -> None:
    options = train.Options(data=str(bands_npz), recipe=Recipe(epochs=4, batch_size=32, ema=0.8), mixed_precision=True)
    run = train.train_and_evaluate(options, tmp_path)
    metrics, history = runs.read_json(run.metrics), runs.read_json(run.history)
    assert metrics["test_accuracy"] > 0.9
    best = metrics["best_epoch"] - 1
    assert metrics["test_accuracy"] == pytest.approx(history["test_accuracy"][best], abs=0.03)
    loaded: Any = finish.load_model(run)
    assert loaded.scale(bands.test.images[:1]).dtype == tf.float32
    with np.load(run.predictions("test")) as file:
        saved = np.asarray(file["probabilities"])
    np.testing.assert_allclose(evaluate.predict(loaded, bands.test.images), saved, rtol=1e-5, atol=1e-6)
    assert json.loads(run.config.read_text())["options"]["mixed_precision"] is True
