"""What is written and drawn between epochs, and when."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from training import callbacks, measure, models, pictures, runs, visualise
from training.dataset import Dataset, Split, checked_dataset
from training.evaluate import Evaluate

TRUE = np.array([0, 0, 1, 1])


class Steps:
    """A model that knows more each epoch: four images, of which as many are right as was last said."""

    def __init__(self) -> None:
        self.right = 0

    def probabilities(self, images: Any) -> Any:
        classes = np.where(np.arange(4) < self.right, TRUE, 1 - TRUE)
        return np.where(np.eye(2)[classes] > 0, 0.75, 0.25).astype(np.float32)


@pytest.fixture
def run(tmp_path: Path) -> runs.Run:
    return runs.create(tmp_path, "lenet", "d")


@pytest.fixture
def pair() -> Dataset:
    split = Split(np.zeros((4, 2, 2, 1), np.uint8), TRUE)
    return checked_dataset("pair", split, split, ["no", "yes"])


def trained_by(callback: Any, rights: list[int], first: int = 0) -> Any:
    """Put a callback through epochs, the first of them numbered `first`, each with so many images right."""
    model = Steps()
    callback.set_model(model)
    for epoch, right in enumerate(rights, first):
        model.right = right
        callback.on_epoch_end(epoch, {"loss": 10.0 - epoch})
    return callback


def test_measurements_are_those_of_their_epochs(run: runs.Run, pair: Dataset) -> None:
    trained_by(callbacks.Metrics(run, pair, every=2), [0, 1, 2, 3, 4])
    assert runs.read_json(run.history) == {
        "epoch": [1, 2, 3, 4, 5],
        "loss": [10, 9, 8, 7, 6],
        "test_accuracy": [0, 0.25, 0.5, 0.75, 1],
    }
    measured = runs.read_json(run.measurements)
    assert list(measured) == ["epoch", "log_loss", "ece", "per_class_accuracy"]
    assert measured["epoch"] == [2, 4]
    assert measured["per_class_accuracy"] == [[0.5, 0], [1, 0.5]]
    assert measured["ece"] == pytest.approx([0.5, 0])
    right, wrong = -np.log(0.75), -np.log(0.25)
    assert measured["log_loss"] == pytest.approx([(right + 3 * wrong) / 4, (3 * right + wrong) / 4])


def test_training_that_goes_on_measures_on_and_replaces_what_is_done_again(run: runs.Run, pair: Dataset) -> None:
    trained_by(callbacks.Metrics(run, pair), [1, 2, 3])
    trained_by(callbacks.Metrics(run, pair), [4, 0], first=2)
    measured = runs.read_json(run.measurements)
    assert measured["epoch"] == [1, 2, 3, 4]
    assert measured["per_class_accuracy"] == [[0.5, 0], [1, 0], [1, 1], [0, 0]]


def test_new_metric_registers_and_has_no_value_before(
    run: runs.Run, pair: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "METRICS", {})
    trained_by(callbacks.Metrics(run, pair), [1])

    @measure.metric("strange")
    def strange(evaluation: Evaluate) -> Any:
        return [np.float32(evaluation.get_accuracy()), float("nan"), None]

    trained_by(callbacks.Metrics(run, pair), [2], first=1)
    assert runs.read_json(run.measurements) == {"epoch": [1, 2], "strange": [None, [0.5, None, None]]}
    for taken in ("strange", "epoch"):
        with pytest.raises(ValueError, match="is registered already"):
            measure.metric(taken)(strange)


def test_new_visualisation_registers_and_is_drawn_when_it_is_time(
    run: runs.Run, pair: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(visualise, "VISUALISATIONS", {})
    seen: list[float] = []

    @visualise.visualisation("mine")
    def mine(evaluation: Evaluate) -> Figure:
        seen.append(evaluation.get_accuracy())
        return Figure()

    @visualise.visualisation("nothing")
    def nothing(evaluation: Evaluate) -> Figure:
        raise visualise.NothingToDrawError("there is nothing")

    with pytest.raises(ValueError, match="'mine' is registered already"):
        visualise.visualisation("mine")(mine)
    trained_by(callbacks.Visualise(run, pair, every=2), [0, 1, 2, 3, 4])
    assert seen == [0.25, 0.75]
    assert sorted(p.name for p in run.figures.iterdir()) == ["epoch-0002-mine.png", "epoch-0004-mine.png"]
    assert capsys.readouterr().err == "No figure of nothing: there is nothing.\n"


def test_visualisations_see_history_and_measurements_of_the_epochs_so_far(
    run: runs.Run, pair: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def look(evaluation: Evaluate) -> Figure:
        seen.append((evaluation.history, evaluation.measurements))
        return Figure()

    monkeypatch.setattr(visualise, "VISUALISATIONS", {"look": look})
    metrics, draw = callbacks.Metrics(run, pair), callbacks.Visualise(run, pair, every=1)
    trained_by(draw, [0])
    trained_by(metrics, [1, 2])
    trained_by(draw, [2], first=1)
    assert seen[0] == (None, None)
    assert seen[1][0]["test_accuracy"] == [0.25, 0.5]
    assert seen[1][1]["per_class_accuracy"] == [[0.5, 0], [1, 0]]


def test_classes_over_time_wait_for_a_measurement(pair: Dataset) -> None:
    with pytest.raises(visualise.NothingToDrawError, match="has been measured yet"):
        visualise.per_class_accuracy(Evaluate(Steps(), pair))
    known: dict[str, list[Any]] = {"epoch": [3], "per_class_accuracy": [[0.5, 1.0]]}
    axes: Any = visualise.per_class_accuracy(Evaluate(Steps(), pair, measurements=known)).axes[0]
    assert axes.images[0].get_array().tolist() == [[0.5], [1.0]]


class Block(tf.keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer with layers, as a residual network has."""

    def __init__(self) -> None:
        super().__init__()
        convolution = tf.keras.layers.Conv2D
        self.steps = [convolution(2, 3, padding="same", activation="relu", name=n) for n in ("inner", "second")]

    def build(self, shape: Any) -> None:
        for step in self.steps:
            step.build(shape)
            shape = step.compute_output_shape(shape)

    def call(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:3], 2)


class Nested(models.Classifier):
    """Two blocks, no convolution of its own."""

    def make_steps(self, image_shape: tuple[int, ...]) -> list[Any]:
        return [Block(), Block(), tf.keras.layers.Flatten()]


class Linear(models.Classifier):
    """No convolution at all."""

    def make_steps(self, image_shape: tuple[int, ...]) -> list[Any]:
        return [tf.keras.layers.Flatten()]


def built(kind: type[models.Classifier], classes: int, shape: tuple[int, int, int]) -> models.Classifier:
    model = kind(classes)
    model.build((None, *shape))
    return model


@pytest.mark.parametrize(("kind", "name"), [(models.LeNet, "conv1"), (models.SmallCNN, "conv1a"), (Nested, "inner")])
def test_first_convolution_is_found_at_any_depth(
    kind: type[models.Classifier], name: str, make_split: Callable[..., Split]
) -> None:
    model = built(kind, 3, (12, 10, 3))
    layer = visualise.first_convolution(model)
    assert layer.name == name
    images = make_split(5, (12, 10, 3), 3, 0).images
    logits = np.asarray(model(images))
    maps = visualise.outputs_of(layer, model, images)
    direct = tf.nn.conv2d(images / np.float32(255), layer.kernel, 1, "SAME")
    direct = direct + layer.bias if layer.use_bias else direct
    np.testing.assert_allclose(maps, layer.activation(direct), rtol=1e-4, atol=1e-5)
    assert "call" not in vars(layer)
    np.testing.assert_array_equal(np.asarray(model(images)), logits)


def test_layer_is_itself_again_after_a_failure(make_split: Callable[..., Split]) -> None:
    model = built(models.LeNet, 3, (12, 10, 3))
    layer = visualise.first_convolution(model)
    with pytest.raises(Exception, match="shape"):
        visualise.outputs_of(layer, model, make_split(2, (12, 10, 4), 3, 0).images)
    assert "call" not in vars(layer)


@pytest.mark.parametrize(("classes", "shown"), [(3, [0, 1, 2]), (40, [0, 3, 7, 10, 14, 17, 21, 24, 28, 31, 35, 39])])
def test_activations_show_the_first_image_of_each_class(
    classes: int, shown: list[int], make_split: Callable[..., Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make_split(120, (40, 10, 3), classes, 5)
    data = checked_dataset("d", split, split)
    model = built(models.SmallCNN, classes, (40, 10, 3))
    given: list[Any] = []
    monkeypatch.setattr(pictures, "activations", lambda *arguments: given.extend(arguments))
    visualise.activations(Evaluate(model, data))
    images, maps, names, title = given
    assert names == [str(label) for label in shown]
    np.testing.assert_array_equal(images, split.images[shown])
    whole = visualise.outputs_of(visualise.first_convolution(model), model, split.images[shown])
    np.testing.assert_array_equal(maps, whole[..., :16])
    some = "all 3 classes" if classes == 3 else "12 of 40 classes"
    assert title == f"Activations of conv1a: 16 of 32 maps, one image each of {some}"


def test_model_without_convolution_is_drawn_without_what_needs_one(
    run: runs.Run, bands: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = callbacks.Visualise(run, bands, every=1)
    draw.set_model(built(Linear, 3, bands.image_shape))
    metrics = callbacks.Metrics(run, bands)
    metrics.set_model(draw.model)
    for epoch in range(2):
        metrics.on_epoch_end(epoch, {})
        draw.on_epoch_end(epoch)
    drawn = {p.name.removeprefix("epoch-0002-").removesuffix(".png") for p in run.figures.glob("epoch-0002-*")}
    assert drawn == set(visualise.VISUALISATIONS) - {"filters", "activations"}
    assert capsys.readouterr().err.splitlines() == [
        "No figure of filters: the model has no two-dimensional convolution.",
        "No figure of activations: the model has no two-dimensional convolution.",
    ]


def events(folder: Path) -> list[tuple[int, str, float]]:
    """Every scalar in TensorBoard's files: step, name, value."""
    found = []
    for path in sorted(folder.iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found.append((event.step, value.tag, float(tf.make_ndarray(value.tensor))))
    return found


def test_tensorboard_gets_each_epochs_logs_and_learning_rate(run: runs.Run, bands: Dataset) -> None:
    model = built(models.LeNet, 3, bands.image_shape)
    schedule = tf.keras.optimizers.schedules.PiecewiseConstantDecay([15], [1e-3, 1e-4])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    chosen = [callbacks.Metrics(run, bands), callbacks.Summaries(run)]
    train = bands.train
    fit = {"batch_size": 30, "verbose": 0, "validation_data": (bands.test.images, bands.test.labels)}
    model.fit(train.images, train.labels, epochs=2, callbacks=chosen, **fit)
    history = runs.read_json(run.history)
    written = events(run.logs)
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "test_accuracy"}
    assert names == set(history) - {"epoch"}
    assert {name for _, name, _ in written} == names | {"learning_rate"}
    for name in names:
        assert [step for step, n, _ in written if n == name] == [1, 2]
        assert [value for _, n, value in written if n == name] == pytest.approx(history[name])
    assert [v for _, n, v in written if n == "learning_rate"] == pytest.approx([1e-3, 1e-4])
    model.fit(train.images, train.labels, epochs=3, initial_epoch=2, callbacks=chosen, **fit)
    assert [s for s, n, _ in events(run.logs) if n == "loss"] == [1, 2, 3]
