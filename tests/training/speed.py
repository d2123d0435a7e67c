"""How long a training step takes, and in what other ways: `python -m tests.training.speed`.

One line each: milliseconds a step in the fastest of some rounds, and how many times as long that is as in single
precision. Random images of Fashion-MNIST's shape; the model's own optimiser and batch; deterministic operations, as in
a real run, but with XLA, which Keras leaves off beside them. The other batch normalisation is the one that Keras has.
Each in a process of its own, in turns: shared machines are twice as slow at times.
"""

import itertools
import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

import click
import numpy as np
import tensorflow as tf

from training import hardware, models, optimise, recipes
from training.normalise import BatchNormalization

SINGLE, MIXED, XLA, KERAS = "single precision", "mixed precision", "XLA, not deterministic", "Keras's normalisation"


def milliseconds(architecture: str, way: str, steps: int) -> float:
    """The mean of `steps` training steps of the model named `architecture`, after some that are not timed."""
    if way != XLA:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    recipe = recipes.load(recipes.of_architecture(architecture))
    normalisation = tf.keras.layers.BatchNormalization if way == KERAS else BatchNormalization
    with hardware.precision(way == MIXED), mock.patch("training.models.BatchNormalization", normalisation):
        model = models.build_model(architecture, (28, 28, 1), 10)
    model.compile(optimise.optimizer(recipe, model, steps), optimise.loss(recipe), jit_compile=way == XLA)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (recipe.batch_size * steps, 28, 28, 1), np.uint8)
    labels = np.eye(10, dtype=np.float32)[random.integers(0, 10, len(images))]
    model.fit(images[: 10 * recipe.batch_size], labels[: 10 * recipe.batch_size], recipe.batch_size, verbose=0)
    begun = time.monotonic()
    model.fit(images, labels, recipe.batch_size, verbose=0, shuffle=False)
    return (time.monotonic() - begun) * 1000 / steps


@click.command()
@click.option("--steps", default=30, show_default=True, type=click.IntRange(min=10))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
def main(steps: int, rounds: int) -> None:
    """Time a training step of each model."""
    cases = list(itertools.product(models.ARCHITECTURES, (SINGLE, MIXED, XLA, KERAS)))
    fastest = dict.fromkeys(cases, math.inf)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as processes:
        for _, case in itertools.product(range(rounds), cases):
            fastest[case] = min(fastest[case], processes.submit(milliseconds, *case, steps).result())
    for (architecture, way), took in fastest.items():
        click.echo(f"{architecture:9} {way:22} {took:6.1f} ms a step  {took / fastest[architecture, SINGLE]:.2f}")


if __name__ == "__main__":
    main()
