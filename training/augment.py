"""Augmentation of whole batches inside tf.data, decided by a seed alone: no state, so a resumed run sees the same.

Every function takes and gives images uint8 (N, H, W, C), and a seed int32 (2,); labels are no affair of theirs.
"""

from typing import Any

import tensorflow as tf

ERASED_AREA = (0.02, 0.33)
"""Share of the image that a rectangle covers, lowest and highest."""
ERASED_ASPECT = 1 / 0.3
"""Height to width of a rectangle, at most, and at least its inverse."""


def batch_seed(seed: int, epoch: Any, step: Any) -> Any:
    """The seed int32 (2,) of one batch; `epoch` and `step` may be tensors."""
    # A count in int64 would be folded in otherwise than the same in int32.
    of_epoch = tf.random.fold_in(tf.constant([seed, 0], tf.int32), tf.cast(epoch, tf.int32))
    return tf.random.fold_in(of_epoch, tf.cast(step, tf.int32))


def augment(images: Any, seed: Any, pixels: int = 0, mirror: bool = False, erasing: float = 0.0) -> Any:
    """Shift by up to `pixels`, mirror half of the images, erase from a share of them, in this order."""
    seeds = tf.random.split(seed, 3)
    if pixels:
        images = shift(images, seeds[0], pixels)
    if mirror:
        images = flip(images, seeds[1])
    if erasing:
        images = erase(images, seeds[2], erasing)
    return images


def shift(images: Any, seed: Any, pixels: int) -> Any:
    """Move each image by `offsets` of its own; what comes in from outside is 0."""
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]])
    start = pixels - offsets(tf.shape(images)[0], seed, pixels)
    rows = tf.gather(padded, start[:, :1] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(rows, start[:, 1:] + tf.range(width), axis=2, batch_dims=1)


def offsets(count: Any, seed: Any, pixels: int) -> Any:
    """How far each of `count` images moves down and to the right, int32 (count, 2), from -pixels to pixels."""
    return tf.random.stateless_uniform([count, 2], seed, -pixels, pixels + 1, tf.int32)


def flip(images: Any, seed: Any) -> Any:
    """Mirror each image left to right with probability 1/2."""
    mirrored = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed) < 0.5
    return tf.where(mirrored, images[:, :, ::-1], images)


def erase(images: Any, seed: Any, probability: float) -> Any:
    """Fill one rectangle of each image with noise, with that probability.

    Zhong, Zheng, Kang, Li and Yang: Random erasing data augmentation (AAAI 2020), with the paper's ranges. A rectangle
    that does not fit into the image becomes longer or wider, where the paper draws again.
    """
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    chosen, where, noise = tf.unstack(tf.random.split(seed, 3))
    top, left, bottom, right = tf.unstack(rectangles(count, where, height, width)[..., tf.newaxis], axis=1)
    rows, columns = tf.range(height), tf.range(width)
    in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    inside = in_rows[:, :, tf.newaxis, tf.newaxis] & in_columns[:, tf.newaxis, :, tf.newaxis]
    is_chosen = tf.random.stateless_uniform([count, 1, 1, 1], chosen) < probability
    bytes_ = tf.cast(tf.random.stateless_uniform(tf.shape(images), noise, 0, 256, tf.int32), tf.uint8)
    return tf.where(inside & is_chosen, bytes_, images)


def rectangles(count: Any, seed: Any, height: int, width: int) -> Any:
    """Top, left, bottom and right, int32 (count, 4), of a rectangle in each image; bottom and right are outside it."""
    size, shape, place = tf.unstack(tf.random.split(seed, 3))
    share = tf.random.stateless_uniform([count], size, *ERASED_AREA)
    limit = tf.math.log(ERASED_ASPECT)
    aspect = tf.exp(tf.random.stateless_uniform([count], shape, -limit, limit))
    aspect = tf.clip_by_value(aspect, share * height / width, height / (share * width))
    pixels = share * height * width
    tall = tf.clip_by_value(tf.cast(tf.round(tf.sqrt(pixels * aspect)), tf.int32), 1, height)
    wide = tf.clip_by_value(tf.cast(tf.round(tf.sqrt(pixels / aspect)), tf.int32), 1, width)
    free = tf.cast(tf.stack([height - tall, width - wide], axis=1) + 1, tf.float32)
    corner = tf.cast(tf.floor(tf.random.stateless_uniform([count, 2], place) * free), tf.int32)
    return tf.concat([corner, corner + tf.stack([tall, wide], axis=1)], axis=1)
