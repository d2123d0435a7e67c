"""Calibration, checked against cases worked out by hand and against searches that take their time."""

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from training.calibration import Reliability, Temperature, document, fit_temperature, keep, log_loss, reliability

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def sure(confidences: list[float]) -> Floats:
    """Two classes; class 0 is predicted, with these probabilities."""
    return np.array([[c, 1 - c] for c in confidences], np.float32)


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def honest() -> tuple[Floats, Labels]:
    """Logits (4000, 5) whose softmax is the very distribution that the labels are drawn from."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5)).astype(np.float32)
    chances = softmax(logits).cumsum(axis=1)
    return logits, np.argmax(chances > random.random((4000, 1)), axis=1)


def test_error_of_four_images_by_hand() -> None:
    diagram = reliability(sure([0.95, 0.95, 0.65, 0.65]), np.array([0, 1, 0, 0]))
    # Above 14/15: sure by 0.95, right in 1 of 2. From 9/15 to 10/15: sure by 0.65, right in 2 of 2.
    assert diagram.count.tolist() == [0] * 9 + [2] + [0] * 4 + [2]
    assert diagram.accuracy[[9, 14]].tolist() == [1, 0.5]
    assert diagram.confidence[[9, 14]] == pytest.approx([0.65, 0.95])
    assert np.isnan(np.delete(diagram.accuracy, [9, 14])).all()
    assert diagram.ece == pytest.approx(0.5 * 0.35 + 0.5 * 0.45)


@pytest.mark.parametrize(
    ("confidences", "labels", "expected"),
    [
        ([1.0, 1.0], [0, 0], 0.0),
        ([1.0, 1.0], [1, 1], 1.0),
        ([0.8] * 5, [0, 0, 0, 0, 1], 0.0),
        ([0.8, 0.8, 0.8, 0.9], [0, 0, 1, 0], 3 / 4 * (0.8 - 2 / 3) + 1 / 4 * (1 - 0.9)),
    ],
)
def test_error_by_hand(confidences: list[float], labels: list[int], expected: float) -> None:
    assert reliability(sure(confidences), np.array(labels)).ece == pytest.approx(expected, abs=1e-6)


def test_error_is_that_of_the_definition(honest: tuple[Floats, Labels]) -> None:
    logits, labels = honest
    probabilities = softmax(3 * logits).astype(np.float32)
    expected = 0.0
    for place in range(15):
        inside = [i for i, p in enumerate(probabilities) if place / 15 < p.max() <= (place + 1) / 15]
        if inside:
            right = sum(int(np.argmax(probabilities[i])) == labels[i] for i in inside) / len(inside)
            confident = sum(float(probabilities[i].max()) for i in inside) / len(inside)
            expected += len(inside) / len(labels) * abs(right - confident)
    assert expected > 0.1
    assert reliability(probabilities, labels).ece == pytest.approx(expected)


def test_upper_edge_belongs_to_its_bin_and_a_rounding_above_one_to_the_last() -> None:
    above = np.array([[np.nextafter(np.float32(1), np.float32(2)), 0]], np.float32)
    diagram = reliability(np.concatenate([sure([0.5, 0.75, 0.76, 1.0]), above]), np.zeros(5, np.int64), bins=4)
    assert diagram.count.tolist() == [0, 1, 1, 3]
    assert diagram.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_log_loss_by_hand() -> None:
    logits = np.array([[0, math.log(3)], [math.log(3), 0]], np.float32)
    labels = np.array([1, 1])
    assert log_loss(logits, labels) == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2)
    halved = 1 / (1 + 3**0.5)
    assert log_loss(logits, labels, 2) == pytest.approx((-math.log(1 - halved) - math.log(halved)) / 2)
    assert log_loss(np.array([[5000, 0]], np.float32), np.array([1])) == pytest.approx(5000)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_factor_on_the_logits_is_found_again(honest: tuple[Floats, Labels], factor: float) -> None:
    logits, labels = honest
    found, honestly = fit_temperature(logits * np.float32(factor), labels), fit_temperature(logits, labels)
    assert honestly.value == pytest.approx(1, abs=0.05)
    assert found.value == pytest.approx(factor * honestly.value, rel=1e-6)
    assert found.reason == "fitted on 4000 validation images"


def test_no_other_temperature_has_a_lower_loss(honest: tuple[Floats, Labels]) -> None:
    logits, labels = honest[0] * 3, honest[1]
    found = fit_temperature(logits, labels)
    assert found.loss_before == log_loss(logits, labels)
    assert found.loss_after == log_loss(logits, labels, found.value)
    others = [log_loss(logits, labels, t) for t in np.geomspace(0.1, 10, 200)]
    assert found.loss_after <= min(others)
    assert found.loss_after < found.loss_before


def test_fit_makes_the_error_smaller_and_changes_no_class(honest: tuple[Floats, Labels]) -> None:
    logits, labels = honest[0] * 3, honest[1]
    found = fit_temperature(logits[:2000], labels[:2000])
    before, after = (softmax(logits[2000:] / t).astype(np.float32) for t in (1, found.value))
    assert reliability(before, labels[2000:]).ece > 0.1
    assert reliability(after, labels[2000:]).ece < 0.04
    np.testing.assert_array_equal(np.argmax(before, axis=1), np.argmax(after, axis=1))


def test_value_is_the_float32_that_the_graph_divides_by(honest: tuple[Floats, Labels]) -> None:
    value = fit_temperature(honest[0] * 3, honest[1]).value
    assert value == float(np.float32(value))


def wrongly_sure(count: int) -> tuple[Floats, Labels]:
    """What is least probable is true, but for one image."""
    logits = np.random.default_rng(1).normal(0, 1, (count, 3)).astype(np.float32)
    labels = np.argmin(logits, axis=1)
    labels[0] = np.argmax(logits[0])
    return logits, labels


def test_fit_that_means_nothing_leaves_one(honest: tuple[Floats, Labels]) -> None:
    logits, labels = honest
    best, least = np.argmax(logits, axis=1), np.argmin(logits, axis=1)
    exact = np.tile(np.array([[math.log(3), 0]], np.float32), (200, 1))
    cases: list[tuple[Floats, Labels, str]] = [
        (logits[:99], labels[:99], "99 validation images are too few; at least 100 are needed"),
        (logits, best, "every validation image is right, so the loss has no lowest point to trust"),
        (logits, least, "every validation image is wrong, so the loss has no lowest point to trust"),
        (*wrongly_sure(200), "the best temperature does not lie between 0.05 and 20"),
        (logits * np.float32(0.001), labels, "the best temperature does not lie between 0.05 and 20"),
        (exact, np.arange(200) % 4 // 3, "no other temperature lowers the validation loss"),
    ]
    for given, true, reason in cases:
        loss = log_loss(given, true)
        assert fit_temperature(given, true) == Temperature(1.0, reason, loss, loss)
    assert fit_temperature(logits[:100], labels[:100]).value != 1


def test_document_is_json_and_says_all() -> None:
    images = sure([0.95, 0.65, 0.65]), np.array([1, 0, 0])
    before: Reliability = reliability(*images)
    after: Reliability = reliability(sure([0.75, 0.6, 0.6]), images[1])
    written = document(Temperature(1.5, "because", 0.7, 0.6), before, after)
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert (written["temperature"], written["reason"]) == (1.5, "because")
    assert written["validation_loss"] == {"before": 0.7, "after": 0.6}
    assert written["ece"] == {"before": before.ece, "after": after.ece}
    last = written["bins"]["before"][-1]
    assert last == {"above": 14 / 15, "up_to": 1, "count": 1, "confidence": pytest.approx(0.95), "accuracy": 0}
    assert written["bins"]["after"][0] == {
        "above": 0, "up_to": 1 / 15, "count": 0, "confidence": None, "accuracy": None,
    }  # fmt: skip


def test_what_is_kept_changes_nothing_and_says_why() -> None:
    kept = keep(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]), "off")
    assert (kept.value, kept.reason) == (1, "off")
    assert (kept.loss_before, kept.loss_after) == pytest.approx((math.log(2), math.log(2)))
