"""Evaluation, checked against numbers worked out by hand."""

import base64
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest

from training import figures
from training.dataset import Dataset, Split, checked_dataset
from training.errors import ConfigurationError
from training.evaluate import Evaluate, reference

NAMES = ("cat", "dog", "owl", "eel")
TRUE = np.array([0, 0, 0, 1, 1, 2], np.int64)
PREDICTED = np.array([0, 0, 1, 1, 2, 2], np.int64)
PROBABILITIES = np.full((6, 4), 0.1, np.float32)
PROBABILITIES[np.arange(6), PREDICTED] = 0.7


@pytest.fixture
def four() -> Dataset:
    images = np.arange(6 * 12, dtype=np.uint8).reshape(6, 2, 2, 3)
    split = Split(images, TRUE)
    return checked_dataset("four", split, split, NAMES)


class Fixed:
    """A model that knows the answers by the first pixel of each image, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def probabilities(self, images: Any) -> Any:
        self.calls += 1
        return PROBABILITIES[images[:, 0, 0, 0] // 12]


def test_predicts_once_and_in_order(four: Dataset) -> None:
    model = Fixed()
    evaluation = Evaluate(model, four)
    np.testing.assert_array_equal(evaluation.predict(), PROBABILITIES)
    evaluation.get_accuracy()
    evaluation.get_confusion_matrix()
    assert model.calls == 1


def test_last_smaller_batch_is_not_dropped(make_split: Callable[..., Split]) -> None:
    sizes: list[int] = []

    def probabilities(images: Any) -> Any:
        sizes.append(len(images))
        return np.eye(2, dtype=np.float32)[images[:, 0, 0, 0] % 2]

    split = make_split(2005, (2, 2, 1), 2, 0)
    evaluation = Evaluate(SimpleNamespace(probabilities=probabilities), checked_dataset("big", split, split))
    assert evaluation.predict().shape == (2005, 2)
    assert sizes == [1000, 1000, 5]


def test_accuracy_and_confusion(four: Dataset) -> None:
    evaluation = Evaluate(Fixed(), four)
    assert evaluation.get_accuracy() == pytest.approx(4 / 6)
    assert evaluation.get_per_class_accuracy() == {"cat": pytest.approx(2 / 3), "dog": 0.5, "owl": 1.0, "eel": None}
    assert evaluation.get_confusion_matrix().tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_reference(four: Dataset) -> None:
    document = reference(four, PROBABILITIES)
    assert document["class_mix"] == pytest.approx({"cat": 1 / 3, "dog": 1 / 3, "owl": 1 / 3, "eel": 0})
    assert document["confidence"]["mean"] == pytest.approx(0.7)
    assert document["confidence"]["std"] == pytest.approx(0, abs=1e-6)
    assert document["confidence"]["quantiles"]["0.5"] == pytest.approx(0.7)
    assert len(document["golden"]) == 6
    for index, golden in enumerate(document["golden"]):
        assert base64.b64decode(golden["image"]) == four.test.images[index].tobytes()
        assert golden["label"] == TRUE[index]
        np.testing.assert_array_equal(np.float32(golden["probabilities"]), PROBABILITIES[index])


def test_per_class_plot_shows_the_numbers(four: Dataset) -> None:
    axes: Any = Evaluate(Fixed(), four).plot_per_class_accuracy().axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2 / 3, 0.5, 1, 0])
    assert [t.get_text() for t in axes.get_yticklabels()] == list(NAMES)
    assert [t.get_text() for t in axes.texts] == ["66.7%", "50.0%", "100.0%", "no images"]


def test_confusion_plot_shows_counts_and_shares(four: Dataset) -> None:
    axes: Any = Evaluate(Fixed(), four).plot_confusion_matrix().axes[0]
    assert [int(t.get_text()) for t in axes.texts] == [2, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(axes.images[0].get_array()[0], [2 / 3, 1 / 3, 0, 0])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_confusion_plot_of_many_classes_leaves_the_numbers_out() -> None:
    axes = figures.confusion(np.eye(100, dtype=np.int64), [str(i) for i in range(100)]).axes[0]
    assert len(axes.texts) == 0
    assert len(axes.get_xticks()) == 34


def test_evolution_plot(four: Dataset) -> None:
    history = {"accuracy": [0.5, 0.7, 0.9], "val_accuracy": [0.5, 0.8, 0.6], "test_accuracy": [0.4, 0.5, 0.9]}
    axes: Any = Evaluate(Fixed(), four, history).plot_train_and_test_accuracy_evolution().axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn["train"] == history["accuracy"]
    assert drawn["test"] == history["test_accuracy"]
    assert "best on validation: epoch 2" in drawn


def test_evolution_needs_a_history(four: Dataset) -> None:
    with pytest.raises(ConfigurationError, match="needs the history"):
        Evaluate(Fixed(), four).plot_train_and_test_accuracy_evolution()


def test_predictions_plot_marks_what_is_wrong(four: Dataset) -> None:
    figure = Evaluate(Fixed(), four).plot_predictions()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "cat 70%\n✓"
    assert titles[2] == "dog 70%\n✗ true: cat"


@pytest.mark.parametrize(("channels", "maps"), [(1, 6), (3, 20), (5, 1)])
def test_filters_plot(channels: int, maps: int) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, channels, maps)).astype(np.float32)
    axes: Any = figures.filters(kernel, "conv1").axes
    drawn = [a.images[0].get_array() for a in axes if a.images]
    np.testing.assert_allclose(drawn[0], kernel[..., 0].mean(axis=2), rtol=1e-6)
    assert len([a for a in axes if a.get_title().isdigit()]) == maps


def test_figures_leave_no_global_state(four: Dataset, tmp_path: Path) -> None:
    figure = Evaluate(Fixed(), four).plot_predictions()
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert "matplotlib.pyplot" not in vars(matplotlib)
