"""The whole program: data in, a complete run directory out."""

import contextlib
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training import batches, callbacks, data, hardware, lock, models, optimise, recipes, resume, runs
from training.dataset import Dataset
from training.errors import BadDataError, ConfigurationError
from training.finish import finish
from training.recipes import Recipe

Started = Callable[[runs.Run], None]


@dataclass(frozen=True)
class Options:
    """Everything that decides what a run does; written into its `config.json`."""

    data: str = "fashion_mnist"
    architecture: str = "lenet"
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    validation_fraction: float = 0.1
    visualise_every: int = 0
    measure_every: int = 1
    calibrate: bool = True
    stream: bool = False
    mixed_precision: bool = False
    replicas: int = 1


@dataclass(frozen=True)
class Parts:
    """The indices of the training images that are fitted, and of those that choose the best epoch."""

    fit: np.ndarray[Any, np.dtype[np.int64]]
    validation: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Prepared:
    """What a training begins with; `twin` takes the weights of a model in mixed precision that are saved."""

    dataset: Dataset
    parts: Parts
    model: Any
    twin: Any | None


def train_and_evaluate(options: Options, root: Path, started: Started | None = None) -> runs.Run:
    """Train as `options` say and leave a complete run directory under `root`.

    `started` is told the run as soon as its directory is there. Same options, same machine: same weights.
    """
    prepared = prepare(options, root)
    run = runs.create(root, options.architecture, prepared.dataset.name)
    with lock.taken(run.path):
        runs.write_json(run.config, runs.describe(options.architecture, asdict(options), prepared.dataset))
        return _to_the_end(options, run, prepared, None, started)


def go_on(run: runs.Run, started: Started | None = None) -> runs.Run:
    """Complete a run that was cut off, from its last finished epoch, with the weights it would have had without that.

    Raises: ConfigurationError when it is complete, has finished no epoch, is damaged, its data has changed, or another
    process trains it.
    """
    with lock.taken(run.path):
        state, options = resume.read(run), options_of(run)
        prepared = prepare(options, run.path.parent)
        if resume.fingerprint(prepared.dataset) != state.data:
            raise ConfigurationError(f"{options.data} is no longer what {run.path} was begun with")
        return _to_the_end(options, run, prepared, state, started)


def options_of(run: runs.Run) -> Options:
    """What `run` was asked to do.

    Raises: ConfigurationError when its `config.json` is missing, damaged, or of another version of this package.
    """
    try:
        options = dict(runs.read_json(run.config)["options"])
        return Options(**options | {"recipe": recipes.made(options["recipe"], str(run.config))})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{run.config} holds no options of this version of the package: {error}") from None


def prepare(options: Options, root: Path) -> Prepared:
    """Load the data, split it, and build the model with its first weights; streamed images lie in `root`."""
    models.find_class(options.architecture)  # a mistake in either need not wait for the data
    strategy = hardware.strategy(options.replicas)
    dataset = data.load(options.data, seed=options.seed, folder=root if options.stream else None)
    _check_shift(options.recipe, dataset)
    parts = split_validation(len(dataset.train), options.validation_fraction, options.seed)
    # Costs LeNet about a fifth of its speed on two cores; without it threads may add up gradients in any order.
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(options.seed)
    kind = (options.architecture, dataset.image_shape, len(dataset.label_names))
    with strategy.scope(), hardware.precision(options.mixed_precision):
        model = models.build_model(*kind)
    return Prepared(dataset, parts, model, models.build_model(*kind) if options.mixed_precision else None)


def _to_the_end(
    options: Options, run: runs.Run, prepared: Prepared, state: resume.State | None, started: Started | None
) -> runs.Run:
    if started is not None:
        started(run)
    if state is not None and state.epoch >= options.recipe.epochs:
        best_epoch = state.best_epoch
    else:
        best_epoch = fit(prepared, options, run, state)
    finish(run, prepared.dataset, prepared.parts, best_epoch, options.calibrate)
    run.state.unlink()
    return run


def _check_shift(recipe: Recipe, dataset: Dataset) -> None:
    if recipe.shift >= min(dataset.image_shape[:2]):
        raise ConfigurationError(
            f"a shift of up to {recipe.shift} pixels leaves nothing of images of {dataset.image_shape[0]} x "
            f"{dataset.image_shape[1]}: lower it, with --set shift=0 to none"
        )


def split_validation(count: int, fraction: float, seed: int) -> Parts:
    """Split `count` training images by a seeded permutation; both parts keep the data's order.

    Raises: BadDataError when nothing would be left to fit.
    """
    validation = max(1, round(count * fraction))
    if validation >= count:
        raise BadDataError(f"{count} training image is too few: some must be kept for validation")
    order = np.random.default_rng(seed).permutation(count)
    return Parts(np.sort(order[validation:]), np.sort(order[:validation]))


def fit(prepared: Prepared, options: Options, run: runs.Run, state: resume.State | None = None) -> int:
    """Train the model, keeping the best epoch in the run; returns that epoch, counted from 1."""
    dataset, parts, model, recipe = prepared.dataset, prepared.parts, prepared.model, options.recipe
    classes, steps = len(dataset.label_names), math.ceil(len(parts.fit) / recipe.batch_size)
    _compile(model, recipe, steps)
    first = state.epoch if state else 0
    training = batches.training_batches(dataset.train, parts.fit, recipe, options.seed, first)
    validation = batches.validation_batches(dataset.train, parts.validation)
    keep_best = callbacks.KeepBest(run, prepared.twin)
    # The progress bar is no result: stdout stays free for what scripts read.
    with contextlib.redirect_stdout(sys.stderr):
        history = model.fit(
            batches.with_one_hot_labels(training, classes),
            initial_epoch=first,
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            validation_data=batches.with_one_hot_labels(validation, classes),
            shuffle=False,
            verbose=1 if sys.stderr.isatty() else 2,
            callbacks=_callbacks(options, run, dataset, keep_best, state),
        )
    if not np.isfinite(history.history["loss"][-1]):
        raise ConfigurationError(
            f"the loss is no longer a number in epoch {history.epoch[-1] + 1}: lower --learning-rate"
        )
    return keep_best.best_epoch


def _compile(model: Any, recipe: Recipe, steps_per_epoch: int) -> None:
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=optimise.optimizer(recipe, model, steps_per_epoch),
            loss=optimise.loss(recipe),
            metrics=["accuracy"],
            jit_compile=False,  # Keras would leave it off: the operations are deterministic
        )


def _callbacks(
    options: Options, run: runs.Run, dataset: Dataset, keep_best: callbacks.KeepBest, state: resume.State | None
) -> list[Any]:
    """In the order they are called: all that looks at an epoch comes after the average, and before the state."""
    average = optimise.Average(options.recipe.ema) if options.recipe.ema else None
    metrics = callbacks.Metrics(run, dataset, options.measure_every)
    chosen = [metrics, keep_best, callbacks.Summaries(run), tf.keras.callbacks.TerminateOnNaN()]
    if options.visualise_every:
        chosen.append(callbacks.Visualise(run, dataset, options.visualise_every))
    # A run that goes on has been compared with its data already, all of which would have to be read again.
    checksum = state.data if state else resume.fingerprint(dataset)
    keep_state = resume.KeepState(run, checksum, metrics, keep_best, average, state)
    return [*([average] if average else []), *chosen, keep_state]
