"""A window of predictions against a reference: distances by hand, what leaves, and what chance alone makes."""

import numpy as np
import pytest

from edge.contract import Reference
from edge.drift import LONGEST, SHORTEST, Window

REFERENCE = Reference((0.5, 0.25, 0.25, 0.0), 0.9)


def test_nothing_is_said_before_the_window_is_full() -> None:
    window = Window(4, 8)
    window.add([0] * 7, [0.9] * 7)
    assert (window.filled, window.compare(REFERENCE)) == (7, None)
    window.add([0], [0.9])
    assert window.filled == 8
    assert window.compare(REFERENCE) is not None


@pytest.mark.parametrize(
    ("classes", "distance"),
    [
        ([0, 0, 0, 0, 1, 1, 2, 2], 0.0),
        ([0, 0, 0, 1, 1, 1, 2, 2], 0.125),
        ([0] * 8, 0.5),
        ([3] * 8, 1.0),
    ],
)
def test_the_distance_is_the_part_that_would_have_to_be_of_another_class(classes: list[int], distance: float) -> None:
    window = Window(4, 8)
    window.add(classes, [0.5, 0.7] * 4)
    drift = window.compare(REFERENCE)
    assert drift is not None
    assert drift.class_mix == pytest.approx(distance)
    assert drift.confidence == pytest.approx(0.6 - 0.9)


@pytest.mark.parametrize("batch", [1, 3, 8, 20, 50])
def test_only_the_last_predictions_count_whatever_the_batches(batch: int) -> None:
    window = Window(4, 8)
    classes = [1] * 42 + [0, 0, 0, 0, 2, 2, 2, 2]
    confidences = [0.1] * 42 + [0.8] * 8
    for start in range(0, len(classes), batch):
        window.add(classes[start : start + batch], confidences[start : start + batch])
    drift = window.compare(REFERENCE)
    assert drift is not None
    assert drift.class_mix == pytest.approx(0.25)
    assert drift.confidence == pytest.approx(-0.1)


@pytest.mark.parametrize(("classes", "size"), [(2, SHORTEST), (10, 1_000), (300, 30_000), (100_000, LONGEST)])
def test_a_window_is_longer_for_more_classes_up_to_a_bound(classes: int, size: int) -> None:
    assert Window(classes).size == size


@pytest.mark.parametrize("classes", [2, 10, 1_000])
def test_chance_alone_is_far_from_what_the_alert_asks_for(classes: int) -> None:
    dice = np.random.default_rng(1)
    mix = dice.dirichlet(np.ones(classes))
    window = Window(classes)
    window.add(dice.choice(classes, window.size, p=mix).tolist(), [0.9] * window.size)
    drift = window.compare(Reference(tuple(mix), 0.9))
    assert drift is not None
    assert 0 < drift.class_mix < 0.06
    assert drift.confidence == pytest.approx(0.0, abs=1e-6)
