"""What `python -m training` is asked to do, and which of its options that excludes."""

import sys
from collections.abc import Collection
from dataclasses import dataclass

import click
from click.core import ParameterSource

OVERRIDES = ("epochs", "batch_size", "learning_rate")
"""Options that are keys of a recipe; `--set` reaches the others."""

_FOR_TRAINING = (
    "data",
    "architecture",
    "recipe",
    *OVERRIDES,
    "set",
    "seed",
    "seeds",
    "stream",
    "mixed_precision",
    "replicas",
    "visualise_every",
    "measure_every",
    "calibrate",
)


@dataclass(frozen=True)
class Mode:
    """How many `runs` it takes, which `options` for training, and the `reason` why no others."""

    runs: range
    options: Collection[str]
    reason: str = ""


TRAINING = Mode(range(1), _FOR_TRAINING)
OTHERS = {
    "dont_train": Mode(range(2), ("data",), "a saved model is evaluated as it is"),
    "resume": Mode(range(2), (), "a run goes on as it was begun"),
    "list": Mode(range(1), (), "nothing is trained"),
    "compare": Mode(range(2, sys.maxsize), (), "nothing is trained"),
}
"""By the option that asks for it."""


def asked(context: click.Context, runs: int) -> str | None:
    """The option of `OTHERS` that is given, if any; raises UsageError for options that contradict one another."""
    given = {name for name in context.params if context.get_parameter_source(name) != ParameterSource.DEFAULT}
    names = [name for name in OTHERS if name in given]
    # `--resume --seeds` trains what is missing.
    mode = OTHERS[names[0]] if names and not (names[0] == "resume" and "seeds" in given) else TRAINING
    _check_runs(mode, runs)
    refused = [*names[1:], *(name for name in _FOR_TRAINING if name in given and name not in mode.options)]
    if refused:
        words = ", ".join(map(_spelt, refused))
        raise click.UsageError(f"{_spelt(names[0])} contradicts {words}: {OTHERS[names[0]].reason}")
    _check_seeds(given, context.params["seeds"])
    return names[0] if names else None


def _check_runs(mode: Mode, count: int) -> None:
    if count in mode.runs:
        return
    if mode.runs == range(1):
        raise click.UsageError(
            "RUN is only for --resume, --dont-train and --compare; a training always makes a new run"
        )
    if count < mode.runs.start:
        raise click.UsageError("--compare needs the directories of at least two runs")
    raise click.UsageError("only --compare takes more than one RUN")


def _check_seeds(given: Collection[str], seeds: tuple[int, ...]) -> None:
    if "seed" in given and "seeds" in given:
        raise click.UsageError("--seeds contradicts --seed")
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise click.UsageError(f"--seeds: {twice} comes twice")


def _spelt(name: str) -> str:
    return "--" + name.replace("_", "-")
