"""The same training under several seeds: how much of an accuracy is chance."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import tensorflow as tf

from training import runs, train
from training.errors import ConfigurationError


@dataclass(frozen=True)
class Repeated:
    """The runs of one training and their test accuracies; `sd` is the sample's, None for a single seed."""

    architecture: str
    data: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    test_accuracy: tuple[float, ...]
    mean: float
    sd: float | None

    def __str__(self) -> str:
        spread = "" if self.sd is None else f" ± {self.sd:.4f}"
        return f"{self.mean:.4f}{spread} ({len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''})"


def train_each(
    options: train.Options,
    seeds: Sequence[int],
    root: Path,
    started: train.Started | None = None,
    resume: bool = False,
) -> tuple[Repeated, Path]:
    """Train a run for each seed under `root`, exactly as alone, and write the summary into a new file beside them.

    With `resume` the runs that are there with the very same options are taken, and those that were cut off completed.
    """
    trained = []
    for seed in seeds:
        tf.keras.backend.clear_session()  # else the graphs of all trainings stay in memory
        one = replace(options, seed=seed)
        found = _found(one, root) if resume else None
        if found is None:
            trained.append(train.train_and_evaluate(one, root, started))
        else:
            trained.append(found if found.complete else train.go_on(found, started))
    repeated = summary(options, seeds, trained)
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{trained[0].path.name.split('-', 2)[-1]}-seeds"
    path = runs.new_file(root, stem, ".json")
    runs.write_json(path, asdict(repeated))
    return repeated, path


def _found(options: train.Options, root: Path) -> runs.Run | None:
    """The newest complete run with these options, else the newest with a finished epoch."""
    same = [run for run in (runs.Run(path.parent) for path in root.glob("*/config.json")) if _asked(run) == options]
    usable = [run for run in same if run.complete or run.state.is_file()]
    return max(usable, key=lambda run: (run.complete, runs.read_json(run.config)["created"]), default=None)


def _asked(run: runs.Run) -> train.Options | None:
    try:
        return train.options_of(run)
    except ConfigurationError:  # of another version, which had other options
        return None


def summary(options: train.Options, seeds: Sequence[int], trained: Sequence[runs.Run]) -> Repeated:
    """Mean and standard deviation of the test accuracy of complete runs, one for each seed."""
    accuracies = tuple(runs.read_json(run.metrics)["test_accuracy"] for run in trained)
    return Repeated(
        options.architecture,
        options.data,
        tuple(seeds),
        tuple(run.path.name for run in trained),
        accuracies,
        statistics.mean(accuracies),
        statistics.stdev(accuracies) if len(accuracies) > 1 else None,
    )
