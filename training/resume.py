"""Going on with a training that was cut off: all that decides its next epochs is on disk after each epoch.

A run that goes on ends with the very weights of one that was never cut off, on the same machine. Batches and
augmentation hang on seed, epoch and step alone; what else has a past is in the state: weights, dropout's random
numbers, the optimiser, the average of the weights, the best epoch and the history. A class of the user's own must
draw its random numbers as Keras's layers do, from a `keras.random.SeedGenerator`.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training import callbacks, lock, runs
from training.dataset import Dataset
from training.errors import ConfigurationError
from training.optimise import Average


@dataclass(frozen=True)
class State:
    """A training after `epoch` epochs; `arrays` are its variables in the order of `variables`."""

    epoch: int
    best: float
    best_epoch: int
    history: Mapping[str, list[float]]
    data: int
    arrays: tuple[npt.NDArray[Any], ...]


def fingerprint(dataset: Dataset) -> int:
    """A checksum of all images and labels, by which changed data is told."""
    value = 0
    for split in (dataset.train, dataset.test):
        for array in (split.images, split.labels):
            value = zlib.crc32(np.ascontiguousarray(array).data, value)
    return value


def variables(model: Any, average: Average | None) -> list[Any]:
    """Every variable that decides the next step; the optimiser's are there once it is built."""
    return [*model.variables, *model.optimizer.variables, *(average.variables if average else [])]


def write(run: runs.Run, state: State) -> None:
    """Write the state in one file, atomically: weights never stand beside another epoch's optimiser."""
    about = {name: getattr(state, name) for name in ("epoch", "best", "best_epoch", "history", "data")}
    numbered = {f"{i:04d}": array for i, array in enumerate(state.arrays)}
    with runs.replacing(run.state) as temporary, temporary.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **numbered)  # type: ignore[arg-type]


def read(run: runs.Run) -> State:
    """The state after the last finished epoch of `run`.

    Raises: ConfigurationError for a run that is complete, has finished no epoch, or is damaged.
    """
    if run.complete:
        raise ConfigurationError(f"{run.path} is complete: there is nothing to go on with")
    if not run.state.is_file():
        raise ConfigurationError(f"{run.path} has no finished epoch to go on from (no {run.state}): train anew")
    try:
        # NumPy leaves a damaged file open that it opened itself.
        with run.state.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            return State(**about, arrays=tuple(file[name] for name in sorted(set(file.files) - {"about"})))
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"cannot read {run.state}: {error}") from None


def newest(root: Path) -> runs.Run:
    """The run under `root` that was cut off and that nobody trains, the newest if there are some.

    Raises: ConfigurationError when there is none.
    """
    found = [runs.Run(path.parent) for path in root.glob("*/config.json")]
    cut_off = [run for run in found if run.state.is_file() and not run.complete and not lock.is_taken(run.path)]
    if not cut_off:
        raise ConfigurationError(f"there is no run in {root} that was cut off after its first epoch")
    return max(cut_off, key=lambda run: (runs.read_json(run.config)["created"], run.path.name))


class KeepState(tf.keras.callbacks.Callback):
    """Writes the state after each epoch, last of all callbacks; begins with `state`, if there is one."""

    def __init__(
        self,
        run: runs.Run,
        data: int,
        metrics: callbacks.Metrics,
        keep_best: callbacks.KeepBest,
        average: Average | None,
        state: State | None,
    ) -> None:
        super().__init__()
        self.run = run
        self.data = data
        self.metrics = metrics
        self.keep_best = keep_best
        self.average = average
        self.state = state

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Take up where the state was written."""
        if self.state is None:
            return
        self.keep_best.best, self.keep_best.best_epoch = self.state.best, self.state.best_epoch
        self.metrics.history = {name: list(values) for name, values in self.state.history.items()}
        if not self.model.optimizer.built:
            with self.model.distribute_strategy.scope():
                self.model.optimizer.build(self.model.trainable_variables)
        assign(variables(self.model, self.average), self.state.arrays, self.run)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write, unless the training has diverged: from there no way leads on."""
        if not np.isfinite((logs or {})["loss"]):
            return
        if self.average:
            self.average.exchange(False)
        arrays = tuple(np.asarray(variable) for variable in variables(self.model, self.average))
        if self.average:
            self.average.exchange(True)
        best = self.keep_best
        write(self.run, State(epoch + 1, best.best, best.best_epoch, self.metrics.history, self.data, arrays))


def assign(found: list[Any], arrays: tuple[npt.NDArray[Any], ...], run: runs.Run) -> None:
    """Give the variables their values.

    Raises: ConfigurationError where they are not those of the run, since the model's code has changed.
    """
    if [tuple(v.shape) for v in found] != [a.shape for a in arrays]:
        raise ConfigurationError(f"{run.state} does not fit the model: its code has changed since the run began")
    for variable, array in zip(found, arrays, strict=True):
        variable.assign(array)
