"""Whole trainings on a tiny data set: what a run holds, that it repeats, and what the command says."""

import ast
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from training import callbacks, finish, resume, runs, serving, train, visualise
from training.__main__ import ARCHITECTURES as NAMES
from training.__main__ import main
from training.batches import training_batches
from training.dataset import Dataset, Split
from training.errors import BadDataError, ConfigurationError
from training.models import ARCHITECTURES, build_model
from training.recipes import Recipe

ROOT = Path(__file__).parents[2]


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def probabilities_of(run: runs.Run, split: str = "test") -> np.ndarray[Any, Any]:
    with np.load(run.predictions(split)) as file:
        return np.asarray(file["probabilities"])


def test_run_directory_is_complete_and_consistent(trained: runs.Run, bands: Dataset) -> None:
    config, metrics, history = (runs.read_json(p) for p in (trained.config, trained.metrics, trained.history))
    assert config["architecture"] == "lenet"
    assert config["options"]["recipe"] == asdict(Recipe(epochs=3, batch_size=32))
    assert metrics["test_accuracy"] > 0.9
    assert history["epoch"] == [1, 2, 3]
    assert {len(v) for v in history.values()} == {3}
    best = int(np.argmax(history["val_accuracy"]))
    assert metrics["best_epoch"] == best + 1
    assert metrics["validation_accuracy"] == pytest.approx(history["val_accuracy"][best], abs=1e-6)
    assert metrics["test_accuracy"] == pytest.approx(history["test_accuracy"][best])
    right = np.argmax(probabilities_of(trained), axis=1) == bands.test.labels
    assert metrics["test_accuracy"] == pytest.approx(right.mean())
    assert list(metrics["per_class_accuracy"]) == list(bands.label_names)
    assert np.array(metrics["confusion_matrix"]).sum() == len(bands.test)


def test_predictions_hold_every_image_in_order(trained: runs.Run, bands: Dataset) -> None:
    for name, split in (("train", bands.train), ("test", bands.test)):
        with np.load(trained.predictions(name)) as file:
            np.testing.assert_array_equal(file["image"], split.images)
            np.testing.assert_array_equal(file["label"], split.labels)
            assert (file["probabilities"].shape, file["probabilities"].dtype) == ((len(split), 3), np.float32)


def test_signature_takes_bytes_and_gives_the_stored_probabilities(trained: runs.Run, bands: Dataset) -> None:
    signatures = tf.saved_model.load(str(trained.saved_model)).signatures
    image = signatures["serving_default"].structured_input_signature[1]["image"]
    assert (image.dtype, image.shape.as_list()) == (tf.uint8, [None, 12, 10, 3])
    output = signatures["serving_default"].structured_outputs
    assert list(output) == ["probabilities"]
    assert (output["probabilities"].dtype, output["probabilities"].shape.as_list()) == (tf.float32, [None, 3])
    served = serving.Served(trained.saved_model)
    for count in (1, 7):
        answer = np.asarray(served.probabilities(bands.test.images[:count]))
        np.testing.assert_allclose(answer, probabilities_of(trained)[:count], atol=1e-6)


def test_reference_holds_golden_test_images(trained: runs.Run, bands: Dataset) -> None:
    document = runs.read_json(trained.reference)
    assert sum(document["class_mix"].values()) == pytest.approx(1)
    assert len(document["golden"]) >= 4
    rows = zip(bands.test.images, bands.test.labels, probabilities_of(trained), strict=True)
    tests = {image.tobytes(): (int(label), row) for image, label, row in rows}
    for golden in document["golden"]:
        label, expected = tests[base64.b64decode(golden["image"])]
        assert golden["label"] == label
        np.testing.assert_array_equal(np.float32(golden["probabilities"]), expected)


def test_figures_are_drawn_at_the_end_and_every_second_epoch(trained: runs.Run) -> None:
    names = sorted(p.name for p in trained.figures.iterdir())
    final = [name for name in names if not name.startswith("epoch-")]
    assert "accuracy_evolution.png" in final
    assert names == sorted([*final, *(f"epoch-0002-{name}.png" for name in visualise.VISUALISATIONS)])


def test_same_seed_gives_the_same_weights_and_another_seed_others(
    trained: runs.Run, bands_npz: Path, tmp_path: Path
) -> None:
    options = train.Options(data=str(bands_npz), recipe=Recipe(epochs=3, batch_size=32))
    again = train.train_and_evaluate(options, tmp_path)
    short = replace(options, seed=1, recipe=Recipe(epochs=1, batch_size=32))
    other = train.train_and_evaluate(short, tmp_path)
    first, second, third = (finish.load_model(r).get_weights() for r in (trained, again, other))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
    assert not all(a.tobytes() == c.tobytes() for a, c in zip(first, third, strict=True))
    assert probabilities_of(trained).tobytes() == probabilities_of(again).tobytes()


def test_every_epoch_sees_every_image_once_in_another_order() -> None:
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    split = Split(images, np.arange(10))
    recipe = Recipe(epochs=3, batch_size=4)
    got = [
        (np.ravel(i).tolist(), n.tolist())
        for i, n in training_batches(split, np.arange(10), recipe, 0).as_numpy_iterator()
    ]
    assert [len(i) for i, _ in got] == [4, 4, 2] * 3
    assert all(i == n for i, n in got)
    epochs = [[n for i, _ in got[e * 3 : e * 3 + 3] for n in i] for e in range(3)]
    assert all(Counter(e) == Counter(range(10)) for e in epochs)
    assert len({tuple(e) for e in epochs}) == 3
    other = [np.ravel(i).tolist() for i, _ in training_batches(split, np.arange(10), recipe, 1).as_numpy_iterator()]
    assert other != [i for i, _ in got]


def test_every_epoch_augments_each_image_otherwise_and_leaves_its_label() -> None:
    images = np.repeat(np.random.default_rng(0).integers(1, 256, (1, 6, 6, 1), dtype=np.uint8), 8, axis=0)
    labels = np.arange(8)
    plain, shifted = Recipe(epochs=2, batch_size=4), Recipe(epochs=2, batch_size=4, shift=2, flip=True, erasing=0.5)
    split = Split(images, labels)
    each = [training_batches(split, labels, recipe, 0) for recipe in (plain, shifted, shifted)]
    seen = [list(batches.as_numpy_iterator()) for batches in each]
    for before, after, again in zip(*seen, strict=True):
        assert after[1].tolist() == before[1].tolist()
        assert after[0].dtype == np.uint8
        assert after[0].tobytes() == again[0].tobytes()
        assert after[0].tobytes() != before[0].tobytes()
    assert len({image.tobytes() for batch, _ in seen[1] for image in batch}) > 12


def test_validation_split_is_seeded_and_disjoint() -> None:
    parts = train.split_validation(100, 0.1, 3)
    assert (len(parts.fit), len(parts.validation)) == (90, 10)
    assert sorted([*parts.fit.tolist(), *parts.validation.tolist()]) == list(range(100))
    assert train.split_validation(100, 0.1, 3).validation.tolist() == parts.validation.tolist()
    assert train.split_validation(100, 0.1, 4).validation.tolist() != parts.validation.tolist()
    with pytest.raises(BadDataError, match="too few"):
        train.split_validation(1, 0.1, 0)


def test_best_epoch_is_chosen_by_validation_and_of_equals_the_first(tmp_path: Path) -> None:
    run = runs.create(tmp_path, "lenet", "d")
    keep = callbacks.KeepBest(run)
    model = build_model("lenet", (12, 12, 1), 2)
    keep.set_model(model)
    marks = []
    for epoch, (validation, test) in enumerate([(0.5, 0.9), (0.8, 0.1), (0.8, 0.95), (0.7, 1.0)]):
        model.logits.bias.assign([float(epoch), 0.0])
        keep.on_epoch_end(epoch, {"val_accuracy": validation, "test_accuracy": test})
        marks.append(float(finish.load_model(run).logits.bias[0]))
    assert keep.best_epoch == 2
    assert marks == [0, 1, 1, 1]


def test_history_is_on_disk_after_each_epoch(tmp_path: Path, bands: Dataset) -> None:
    run = runs.create(tmp_path, "lenet", "d")
    metrics = callbacks.Metrics(run, bands)
    model = build_model("lenet", bands.image_shape, 3)
    metrics.set_model(model)
    expected = float(np.mean(np.argmax(model(bands.test.images), axis=1) == bands.test.labels))
    for epoch, loss in enumerate([1.5, float("nan")]):
        logs = {"loss": loss}
        metrics.on_epoch_end(epoch, logs)
        assert logs["test_accuracy"] == pytest.approx(expected)
        assert len(runs.read_json(run.history)["epoch"]) == epoch + 1
    assert runs.read_json(run.history)["loss"] == [1.5, None]


def test_diverged_training_says_so(bands_npz: Path, tmp_path: Path) -> None:
    options = train.Options(data=str(bands_npz), recipe=Recipe(epochs=5, batch_size=32, learning_rate=1e30))
    with pytest.raises(ConfigurationError, match=r"no longer a number in epoch \d: lower --learning-rate"):
        train.train_and_evaluate(options, tmp_path)
    with pytest.raises(ConfigurationError, match="no complete run"):
        runs.newest(tmp_path)


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
        (["--resume", "--data", "a.npz", "--set", "flip=true"], 2, "--resume contradicts --set, --data: a run goes on"),
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
    ],
)
def test_mistakes_are_one_clear_error(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = command("--runs", tmp_path, *arguments)
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


def test_dont_train_without_a_run(tmp_path: Path) -> None:
    done = command("--dont-train", "--runs", tmp_path)
    assert done.exit_code == 78
    assert "there is no complete run in" in done.stderr


def test_dont_train_on_other_data_must_fit(trained: runs.Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", image=np.zeros((10, 4, 4), np.uint8), label=np.arange(10) % 2)
    done = command("--dont-train", trained.path, "--data", tmp_path / "other.npz")
    assert done.exit_code == 78
    assert "takes images (12, 10, 3) of 3 classes" in done.stderr


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


def test_package_imports_nothing_else_of_this_repository() -> None:
    for path in (ROOT / "training").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
        names += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
        assert not {n.split(".")[0] for n in names} & {"edge", "export", "bench", "localkafka", "viewer"}, path
