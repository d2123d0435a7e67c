"""The same training under several seeds: how much of an accuracy is chance."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import tensorflow as tf

from training import runs, train


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
    options: train.Options, seeds: Sequence[int], root: Path, started: train.Started | None = None
) -> tuple[Repeated, Path]:
    """Train a run for each seed under `root`, exactly as alone, and write the summary into a new file beside them."""
    trained = []
    for seed in seeds:
        tf.keras.backend.clear_session()  # else the graphs of all trainings stay in memory
        trained.append(train.train_and_evaluate(replace(options, seed=seed), root, started))
    repeated = summary(options, seeds, trained)
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{trained[-1].path.name.split('-', 2)[-1]}-seeds"
    path = runs.new_file(root, stem, ".json")
    runs.write_json(path, asdict(repeated))
    return repeated, path


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
