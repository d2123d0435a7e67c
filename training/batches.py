"""The batches of a training, in an order and with an augmentation that hang on seed, epoch and step alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training import augment, store
from training.dataset import Split
from training.recipes import Recipe

VALIDATION_BATCH = 1000

Indices = npt.NDArray[np.int64]
Read = Callable[[Any], tuple[Any, Any]]
"""Images uint8 (N, H, W, C) and labels int64 (N,) of positions (N,), all of them tensors."""


def training_batches(split: Split, indices: Indices, recipe: Recipe, seed: int, first: int = 0) -> Any:
    """Every epoch's batches of the examples at `indices` one after another, from epoch `first`, counted from 0.

    A batch is images uint8 (N, H, W, C) and labels int64 (N,); an epoch's last one may be smaller.
    """
    read = reader(split, indices)

    def batch(epoch: Any, step: Any, positions: Any) -> tuple[Any, Any]:
        images, labels = read(positions)
        drawn = augment.batch_seed(seed, epoch, step)
        return augment.augment(images, drawn, recipe.shift, recipe.flip, recipe.erasing), labels

    def epoch_batches(epoch: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(tf.range(len(indices)), seed=[seed, epoch])
        positions = tf.data.Dataset.from_tensor_slices(order).batch(recipe.batch_size)
        return positions.enumerate().map(lambda step, p: batch(epoch, step, p), num_parallel_calls=2)

    epochs = tf.data.Dataset.range(first, recipe.epochs, output_type=tf.int32)
    return epochs.flat_map(epoch_batches).prefetch(2)


def validation_batches(split: Split, indices: Indices) -> Any:
    """The examples at `indices` once, in their order, as they are."""
    positions = tf.data.Dataset.range(len(indices)).batch(VALIDATION_BATCH)
    return positions.map(reader(split, indices)).prefetch(1)


def with_one_hot_labels(batches: Any, classes: int) -> Any:
    """The same batches with labels as the loss takes them, float32 (N, classes)."""
    return batches.map(lambda images, labels: (images, tf.one_hot(labels, classes)))


def reader(split: Split, indices: Indices) -> Read:
    """What gives the examples at positions in `indices`: out of memory, or from the file they are streamed from."""
    if not store.is_streamed(split.images):
        images, labels = tf.constant(split.images[indices]), tf.constant(split.labels[indices])
        return lambda positions: (tf.gather(images, positions), tf.gather(labels, positions))

    def read(positions: Indices) -> tuple[npt.NDArray[np.uint8], Indices]:
        chosen = indices[positions]
        return split.images[chosen], split.labels[chosen]

    def read_tensors(positions: Any) -> tuple[Any, Any]:
        images, labels = tf.numpy_function(read, [positions], (tf.uint8, tf.int64), stateful=False)
        images.set_shape((None, *split.images.shape[1:]))
        labels.set_shape((None,))
        return images, labels

    return read_tensors
