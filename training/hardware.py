"""On what a training runs: one device or several, in single or in mixed precision."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from training.errors import ConfigurationError


def strategy(replicas: int) -> Any:
    """How TensorFlow spreads each batch over the first `replicas` GPUs, or over as many CPU devices without a GPU.

    The gradients of all are added up, so that a step is the same step, but for rounding; only batch normalisation sees
    no more than the part of the batch that is on its device.
    Raises: ConfigurationError when there are fewer devices.
    """
    if replicas == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < replicas:
        raise ConfigurationError(f"--replicas {replicas} needs as many devices; TensorFlow sees {len(devices)} {kind}")
    return tf.distribute.MirroredStrategy(devices[:replicas])


@contextlib.contextmanager
def precision(is_mixed: bool) -> Iterator[None]:
    """Let the models built in this block compute in 16 bits, if `is_mixed`; their weights keep 32."""
    before = tf.keras.mixed_precision.global_policy()
    if is_mixed:
        tf.keras.mixed_precision.set_global_policy(mixed_policy())
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def mixed_policy() -> str:
    """The name of the mixture: float16 on a GPU, where Keras scales the loss, else bfloat16, which needs no scaling.

    Micikevicius et al.: Mixed precision training (ICLR 2018).
    """
    return "mixed_float16" if tf.config.list_logical_devices("GPU") else "mixed_bfloat16"
