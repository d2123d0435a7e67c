"""The models: sizes, shapes, and that scaling happens inside."""

import sys
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
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-30)


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


def test_resnet20_has_the_published_number_of_parameters() -> None:
    model = models.build_model("resnet20", (32, 32, 3), 10)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 269_722
    assert len([w for w in model.trainable_weights if len(w.shape) > 1]) == 20


def test_shortcut_keeps_every_second_pixel_and_pads_the_new_maps_with_zeros() -> None:
    block = models.Residual(6, stride=2)
    maps = np.random.default_rng(0).random((2, 5, 4, 4), dtype=np.float32)
    block(maps)
    for convolution in (layer for layer in block.steps if isinstance(layer, tf.keras.layers.Conv2D)):
        convolution.kernel.assign(tf.zeros_like(convolution.kernel))
    answer = np.asarray(block(maps))
    np.testing.assert_array_equal(answer[..., 1:5], maps[:, ::2, ::2])
    assert not answer[..., [0, 5]].any()
    assert answer.shape == block.compute_output_shape(maps.shape)


def test_strided_block_looks_around_the_pixels_that_its_shortcut_keeps() -> None:
    block = models.Residual(1, stride=2)
    maps = np.zeros((1, 6, 6, 1), np.float32)
    maps[0, 2, 4] = 1
    block(maps)
    first = next(layer for layer in block.steps if isinstance(layer, tf.keras.layers.Conv2D))
    first.kernel.assign(tf.reshape(tf.constant([0, 0, 0, 0, 1.0, 0, 0, 0, 0]), (3, 3, 1, 1)))
    seen = np.asarray(first(block.steps[0](maps)))[0, ..., 0]
    np.testing.assert_array_equal(seen, maps[0, ::2, ::2, 0])


@pytest.mark.parametrize("architecture", ["smallcnn", "resnet20"])
def test_training_reaches_every_normalisation_and_dropout(architecture: str) -> None:
    model = models.build_model(architecture, (12, 12, 1), 3)
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), dtype=np.uint8)
    moving = [w for w in model.non_trainable_weights if "moving" in w.path]
    before = [np.asarray(w) for w in moving]
    model(images, training=False)
    assert all(np.array_equal(b, w) for b, w in zip(before, moving, strict=True))
    model(images, training=True)
    assert not any(np.array_equal(b, w) for b, w in zip(before, moving, strict=True))


def test_unknown_architecture() -> None:
    with pytest.raises(ConfigurationError, match="unknown architecture 'alexnet'; known are lenet, smallcnn, resnet20"):
        models.build_model("alexnet", (28, 28, 1), 10)


OWN = """
import tensorflow as tf
from training.models import Classifier, layers


class Linear(Classifier):
    def make_steps(self, image_shape):
        return [layers.Flatten(name="flatten")]


class Keras(tf.keras.Model):
    def __init__(self, classes, **options):
        super().__init__(**options)
        self.classes = classes
        self.steps = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(classes)]

    def call(self, images):
        for step in self.steps:
            images = step(images)
        return images

    def probabilities(self, images):
        return tf.nn.softmax(self(images))

    def get_config(self):
        return {"name": self.name, "classes": self.classes}


class Bare(tf.keras.Model):
    pass


class Unsaved(Bare):
    def probabilities(self, images):
        return images


class NoModel:
    pass


class Wide(Keras):
    def call(self, images):
        return tf.concat([super().call(images)] * 2, axis=1)


class Picky(Keras):
    def __init__(self):
        super().__init__(2)
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package in the working directory, new for each test."""
    monkeypatch.chdir(tmp_path)
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "nets.py").write_text(OWN)
    (tmp_path / name / "broken.py").write_text("import nowhere_to_be_found")
    monkeypatch.setattr("sys.path", list(sys.path))
    return name


@pytest.mark.parametrize("name", ["Linear", "Keras"])
def test_a_class_of_the_users_own_trains_saves_and_loads(own_module: str, name: str, tmp_path: Path) -> None:
    model = models.build_model(f"{own_module}.nets:{name}", (4, 5, 3), 2)
    assert model.count_params() == (4 * 5 * 3 + 1) * 2
    model.save(tmp_path / "own.keras")
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    loaded = tf.keras.models.load_model(tmp_path / "own.keras")
    assert np.asarray(loaded.probabilities(images)).tobytes() == np.asarray(model.probabilities(images)).tobytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nets:Bare", "it lacks probabilities"),
        ("nets:Unsaved", "it lacks get_config"),
        ("nets:NoModel", "it does not extend tf.keras.Model"),
        ("nets:Absent", "there is no such class"),
        ("nets:Wide", r"answers 2 images of 2 classes with shape \(2, 4\); expected logits \(2, 2\)"),
        ("nets:Picky", r"cannot be built as Picky\(2\) .*TypeError"),
        ("broken:Any", "cannot import .*broken from .*No module named 'nowhere_to_be_found'"),
        ("absent:Any", "cannot import .*absent from .*No module named"),
    ],
)
def test_what_a_class_lacks_is_said(own_module: str, name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        models.build_model(f"{own_module}.{name}", (4, 5, 3), 2)
