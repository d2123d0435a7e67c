"""The models: sizes, shapes, and that scaling happens inside."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training import models
from training.errors import ConfigurationError


def test_lenet_has_the_published_number_of_parameters() -> None:
    model = models.build_model("lenet", (28, 28, 1), 10)
    assert model.count_params() == 61_706
    assert [int(np.prod(w.shape)) for w in model.weights] == [150, 6, 2400, 16, 48000, 120, 10080, 84, 840, 10]


def test_smallcnn_stays_small() -> None:
    assert models.build_model("smallcnn", (28, 28, 1), 10).count_params() < 100_000


@pytest.mark.parametrize("architecture", list(models.ARCHITECTURES))
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (17, 9, 4), (1, 1, 1)])
@pytest.mark.parametrize("classes", [2, 37])
def test_any_image_shape_and_number_of_classes(architecture: str, shape: tuple[int, int, int], classes: int) -> None:
    model = models.build_model(architecture, shape, classes)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    probabilities = np.asarray(model.probabilities(images))
    assert probabilities.shape == (3, classes)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    logits = np.asarray(model(images), np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)


@pytest.mark.parametrize("architecture", list(models.ARCHITECTURES))
def test_bytes_are_scaled_to_one_inside(architecture: str) -> None:
    tf.keras.utils.set_random_seed(1)
    model = models.build_model(architecture, (12, 12, 1), 3)
    seen = np.asarray(model.scale(np.array([[0, 51, 255]], np.uint8)))
    np.testing.assert_allclose(seen, [[0, 0.2, 1]], rtol=1e-6)
    white, black = np.full((1, 12, 12, 1), 255, np.uint8), np.zeros((1, 12, 12, 1), np.uint8)
    assert not np.allclose(model(white), model(black))


@pytest.mark.parametrize("architecture", list(models.ARCHITECTURES))
def test_saved_and_loaded_gives_the_same_logits(architecture: str, tmp_path: Path) -> None:
    model = models.build_model(architecture, (13, 14, 3), 5)
    images = np.random.default_rng(0).integers(0, 256, (4, 13, 14, 3), dtype=np.uint8)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert np.asarray(loaded(images)).tobytes() == np.asarray(model(images)).tobytes()


def test_unknown_architecture() -> None:
    with pytest.raises(ConfigurationError, match="unknown architecture 'alexnet'; known are lenet, smallcnn"):
        models.build_model("alexnet", (28, 28, 1), 10)
