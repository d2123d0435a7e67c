"""Evaluation, checked against numbers worked out by hand."""

import base64
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest

from training.dataset import Dataset, Split, checked_dataset
from training.errors import ConfigurationError
from training.evaluate import Evaluate, losses, reference

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


def rows(*probabilities: tuple[float, ...]) -> SimpleNamespace:
    return SimpleNamespace(probabilities=lambda images: np.array(probabilities, np.float32)[images[:, 0, 0, 0] // 12])


def test_hardest_images_come_first(four: Dataset) -> None:
    assert Evaluate(Fixed(), four).get_hardest().tolist() == [2, 4, 0, 1, 3, 5]
    # True are 0, 0, 0, 1, 1, 2: the second is hardest, the fourth as hard as the fifth but surer of what is wrong.
    model = rows(
        (0.9, 0.1, 0, 0), (0.01, 0.99, 0, 0), (1, 0, 0, 0), (0.8, 0.2, 0, 0), (0.4, 0.2, 0.4, 0), (0, 0, 0.7, 0.3)
    )
    evaluation = Evaluate(model, four)
    assert evaluation.get_hardest().tolist() == [1, 3, 4, 5, 0, 2]
    assert evaluation.get_hardest(2).tolist() == [1, 3]
    described = evaluation.describe_hardest(2)
    assert described[0] == {
        "index": 1,
        "label": 0,
        "predicted": 1,
        "probability": pytest.approx(0.99),
        "loss": pytest.approx(-np.log(0.01)),
    }
    assert [(d["index"], d["label"], d["predicted"]) for d in described] == [(1, 0, 1), (3, 1, 0)]


def test_loss_of_each_image_by_hand(four: Dataset) -> None:
    expected = -np.log([0.7, 0.7, 0.1, 0.7, 0.1, 0.7])
    np.testing.assert_allclose(losses(PROBABILITIES, TRUE), expected, rtol=1e-6)
    assert Evaluate(Fixed(), four).get_log_loss() == pytest.approx(expected.mean())


def test_loss_of_what_was_held_impossible_is_finite() -> None:
    loss = losses(np.array([[1, 0]], np.float32), np.array([1]))
    assert loss == pytest.approx([126 * np.log(2)])


def test_reliability_is_that_of_the_test_images(four: Dataset) -> None:
    diagram = Evaluate(Fixed(), four).get_reliability()
    assert diagram.count.tolist() == [0] * 10 + [6] + [0] * 4
    assert diagram.ece == pytest.approx(0.7 - 4 / 6, abs=1e-6)


def test_hardest_plot_names_the_images_and_their_loss(four: Dataset) -> None:
    axes: list[Any] = Evaluate(Fixed(), four).plot_hardest().axes
    assert [a.get_title() for a in axes[:3]] == ["dog 70%\n✗ true: cat", "owl 70%\n✗ true: dog", "cat 70%\n✓"]
    assert [a.texts[0].get_text() for a in axes[:3]] == [
        "image 2, loss 2.30",
        "image 4, loss 2.30",
        "image 0, loss 0.36",
    ]
    np.testing.assert_array_equal(axes[0].images[0].get_array(), four.test.images[2])


def test_predictions_plot_shows_the_first_images_in_order(four: Dataset) -> None:
    axes: list[Any] = Evaluate(Fixed(), four).plot_predictions().axes
    for number, image in enumerate(four.test.images):
        np.testing.assert_array_equal(axes[number].images[0].get_array(), image)
        assert not axes[number].texts


def test_evolution_needs_a_history(four: Dataset) -> None:
    with pytest.raises(ConfigurationError, match="needs the history"):
        Evaluate(Fixed(), four).plot_train_and_test_accuracy_evolution()


def test_evolution_of_classes_needs_measurements(four: Dataset) -> None:
    with pytest.raises(ConfigurationError, match="needs the measurements"):
        Evaluate(Fixed(), four).plot_per_class_accuracy_evolution()


def test_figures_leave_no_global_state(four: Dataset, tmp_path: Path) -> None:
    figure = Evaluate(Fixed(), four).plot_predictions()
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert "matplotlib.pyplot" not in vars(matplotlib)
