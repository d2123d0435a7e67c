"""What counts as agreement between two processors."""

import numpy as np
import pytest

from tests.arm64.agreement import compare

HERE = np.array([[0.7, 0.2, 0.1], [0.400003, 0.4, 0.199997]], np.float32)


def test_the_same_probabilities_agree() -> None:
    found = compare(HERE, HERE)
    assert found.is_full
    assert (found.images, found.ties, found.differing, found.largest_difference) == (2, 1, 0, 0.0)


def test_classes_of_a_tie_may_change_places() -> None:
    found = compare(HERE, HERE[:, [0, 1, 2]] + np.array([[0, 0, 0], [-0.00001, 0, 0]], np.float32))
    assert found.is_full
    assert (found.ties, found.differing, found.differing_untied) == (1, 1, 0)
    assert found.largest_difference == pytest.approx(1e-5, rel=0.01)


def test_another_class_is_a_difference() -> None:
    found = compare(HERE, HERE[:, [1, 0, 2]])
    assert not found.is_full
    assert (found.differing, found.differing_untied) == (2, 1)
    assert found.largest_difference == pytest.approx(0.5)


def test_no_image_is_no_agreement() -> None:
    assert not compare(HERE[:0], HERE[:0]).is_full


def test_what_is_not_of_the_same_images_is_not_compared() -> None:
    with pytest.raises(ValueError, match="same images"):
        compare(HERE, HERE[:1])
    with pytest.raises(ValueError, match="same images"):
        compare(HERE, np.full_like(HERE, np.nan))
