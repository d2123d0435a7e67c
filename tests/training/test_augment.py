"""Augmentation, by its values: what moves where, what is mirrored, what is erased, and how often."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from training import augment

Images = npt.NDArray[np.uint8]
SEED = (3, 4)


def noise(count: int, *shape: int) -> Images:
    """Images without a zero, so that what came in from outside can be told."""
    return np.random.default_rng(0).integers(1, 256, (count, *shape), dtype=np.uint8)


def applied(step: Any, *arguments: Any) -> Images:
    answer = step(*arguments)
    assert answer.dtype == tf.uint8
    return np.asarray(answer)


@pytest.mark.parametrize("shape", [(6, 9, 3), (5, 4, 1)])
@pytest.mark.parametrize("pixels", [1, 3])
def test_shift_moves_by_the_drawn_offset_and_pads_with_zeros(shape: tuple[int, int, int], pixels: int) -> None:
    images = noise(40, *shape)
    shifted = applied(augment.shift, images, SEED, pixels)
    assert shifted.shape == images.shape
    for image, moved, (down, right) in zip(images, shifted, offsets_of(40, pixels), strict=True):
        expected = np.zeros_like(image)
        for y in range(shape[0]):
            for x in range(shape[1]):
                if 0 <= y - down < shape[0] and 0 <= x - right < shape[1]:
                    expected[y, x] = image[y - down, x - right]
        np.testing.assert_array_equal(moved, expected)


def offsets_of(count: int, pixels: int) -> list[list[int]]:
    return [[int(n) for n in row] for row in np.asarray(augment.offsets(count, SEED, pixels))]


def test_offsets_are_spread_evenly_over_both_directions() -> None:
    drawn = np.array(offsets_of(9000, 1))
    cells = np.bincount((drawn[:, 0] + 1) * 3 + drawn[:, 1] + 1, minlength=9)
    assert cells.min() > 1000 - 5 * 30  # five standard deviations
    assert cells.max() < 1000 + 5 * 30
    assert cells.sum() == 9000


def test_flip_mirrors_half_of_the_images_and_leaves_the_others() -> None:
    images = noise(4000, 3, 5, 2)
    flipped = applied(augment.flip, images, SEED)
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert abs(mirrored.sum() - 2000) < 5 * np.sqrt(1000)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (12, 40), (64, 3), (1, 1)])
def test_rectangles_lie_inside_and_have_the_drawn_area(height: int, width: int) -> None:
    top, left, bottom, right = np.asarray(augment.rectangles(5000, SEED, height, width)).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top < bottom).all()
    assert (left < right).all()
    assert bottom.max() <= height
    assert right.max() <= width
    area = (bottom - top) * (right - left) / (height * width)
    share = np.asarray(tf.random.stateless_uniform([5000], tf.random.split(SEED, 3)[0], *augment.ERASED_AREA))
    # Whole pixels: either side is off by at most half of one.
    slack = (0.5 * ((bottom - top) + (right - left)) + 0.25) / (height * width)
    assert (np.abs(area - share) <= slack + 1e-6).all() or height == 1


def test_rectangles_have_the_papers_aspects_and_come_to_every_corner() -> None:
    top, left, bottom, right = np.asarray(augment.rectangles(5000, SEED, 100, 100)).T
    aspect = (bottom - top) / (right - left)
    assert aspect.max() < 1 / 0.3 * 1.1
    assert aspect.min() > 0.3 / 1.1
    assert abs(np.mean(aspect > 1) - 0.5) < 0.05
    assert (top.min(), left.min(), bottom.max(), right.max()) == (0, 0, 100, 100)


def test_erasing_fills_the_rectangle_with_noise_and_nothing_else() -> None:
    images = noise(300, 20, 16, 3)
    erased = applied(augment.erase, images, SEED, 1.0)
    seed = tf.random.split(SEED, 3)[1]
    changed = erased != images
    filled = []
    for index, (top, left, bottom, right) in enumerate(np.asarray(augment.rectangles(300, seed, 20, 16))):
        outside = changed[index].copy()
        outside[top:bottom, left:right] = False
        assert not outside.any()
        filled += erased[index, top:bottom, left:right].ravel().tolist()
        assert changed[index, top:bottom, left:right].mean() > 0.8
    counts = np.bincount(filled, minlength=256)
    assert counts.min() > 0.5 * len(filled) / 256
    assert counts.max() < 1.5 * len(filled) / 256


def test_erasing_takes_the_asked_share_of_the_images() -> None:
    images = noise(4000, 8, 8, 1)
    erased = applied(augment.erase, images, SEED, 0.25)
    touched = (erased != images).any(axis=(1, 2, 3)).sum()
    assert abs(touched - 1000) < 5 * np.sqrt(750) + 4000 / 256


def everything(seed: Any, images: Images) -> Images:
    return applied(augment.augment, images, seed, 2, True, 0.5)


def test_same_seed_gives_the_same_images_and_any_other_others() -> None:
    images = noise(32, 9, 8, 3)
    first = everything(augment.batch_seed(1, 2, 3), images)
    assert everything(augment.batch_seed(1, 2, 3), images).tobytes() == first.tobytes()
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 3, 2)):
        assert everything(augment.batch_seed(*other), images).tobytes() != first.tobytes()


def test_in_a_graph_of_unknown_batch_size_it_is_the_same() -> None:
    images = noise(10, 9, 8, 3)
    eager = np.concatenate(
        [everything(augment.batch_seed(0, 0, step), images[4 * step : 4 * step + 4]) for step in range(3)]
    )
    batches = tf.data.Dataset.from_tensor_slices(images).batch(4).enumerate()
    graph = batches.map(lambda step, batch: augment.augment(batch, augment.batch_seed(0, 0, step), 2, True, 0.5))
    np.testing.assert_array_equal(np.concatenate(list(graph.as_numpy_iterator())), eager)


def test_nothing_asked_nothing_done() -> None:
    images = noise(4, 5, 6, 1)
    assert applied(augment.augment, images, SEED).tobytes() == images.tobytes()
