"""Whole trainings on a tiny data set: what a run holds, and that it repeats."""

import ast
import base64
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from training import callbacks, finish, runs, serving, train, visualise
from training.batches import training_batches
from training.dataset import Dataset, Split
from training.errors import BadDataError, ConfigurationError
from training.models import build_model
from training.recipes import Recipe

ROOT = Path(__file__).parents[2]


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


def test_package_imports_nothing_else_of_this_repository() -> None:
    for path in (ROOT / "training").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
        names += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
        assert not {n.split(".")[0] for n in names} & {"edge", "export", "bench", "localkafka", "viewer"}, path
