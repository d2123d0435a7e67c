"""The fused batch normalisation is Keras's, but for the moving variance."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from training.normalise import BatchNormalization

SHAPE = (4, 5, 6, 3)
VALUES = SHAPE[0] * SHAPE[1] * SHAPE[2]


def maps(seed: int = 0) -> Any:
    return tf.constant(np.random.default_rng(seed).normal(2, 3, SHAPE), tf.float32)


@pytest.fixture
def pair() -> list[Any]:
    """This layer and Keras's, with the same weights, none of them as they begin."""
    made = [kind(momentum=0.7) for kind in (BatchNormalization, tf.keras.layers.BatchNormalization)]
    values = [np.random.default_rng(n).uniform(0.5, 2, 3).astype(np.float32) for n in range(4)]
    for layer in made:
        layer.build(SHAPE)
        layer.set_weights(values)
    return made


def trained(layer: Any, x: Any, towards: Any) -> list[Any]:
    """What `layer` gives for `x`, and how a loss between that and `towards` falls with the input and the weights."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * towards)
    return [y, *tape.gradient(loss, [x, *layer.trainable_variables])]


def test_output_and_gradients_are_those_of_keras(pair: list[Any]) -> None:
    ours, theirs = (trained(layer, maps(), maps(1)) for layer in pair)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_moving_variance_is_the_unbiased_one(pair: list[Any]) -> None:
    before = pair[0].moving_variance.numpy()
    for layer in pair:
        layer(maps(), training=True)
    ours, theirs = pair
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    variance = np.var(maps().numpy(), axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(ours.moving_variance, 0.7 * before + 0.3 * variance, rtol=1e-5)
    biased = 0.7 * before + 0.3 * variance * (VALUES - 1) / VALUES
    np.testing.assert_allclose(theirs.moving_variance, biased, rtol=1e-5)


@pytest.mark.parametrize(("training", "trainable"), [(False, True), (None, True), (True, False)])
def test_what_does_not_train_is_normalised_by_the_moving_statistics(
    pair: list[Any], training: bool | None, trainable: bool
) -> None:
    before = pair[0].get_weights()
    for layer in pair:
        layer.trainable = trainable
    ours, theirs = (layer(maps(), training=training) for layer in pair)
    np.testing.assert_array_equal(ours, theirs)
    for found, expected in zip(pair[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_mixed_precision_keeps_its_statistics_in_single() -> None:
    layer = BatchNormalization(dtype="mixed_bfloat16")
    layer.build(SHAPE)
    outputs = layer(tf.cast(maps(), tf.bfloat16), training=True)
    assert outputs.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    plain = BatchNormalization()
    plain.build(SHAPE)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), plain(maps(), training=True), atol=0.03)


def test_saved_model_comes_back(tmp_path: Path) -> None:
    model = tf.keras.Sequential([tf.keras.Input(SHAPE[1:]), BatchNormalization(momentum=0.7)])
    model(maps(), training=True)
    model.save(tmp_path / "model.keras")
    back = tf.keras.models.load_model(tmp_path / "model.keras")
    assert type(back.layers[0]) is BatchNormalization
    np.testing.assert_array_equal(back(maps(2)), model(maps(2)))
