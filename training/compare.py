"""Runs side by side: a list of all there are, and a table and curves of some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from training import figures, runs
from training.errors import ConfigurationError

MISSING = "-"


@dataclass(frozen=True)
class Summary:
    """What is said of a run; `metrics` and `history` are empty where it did not get so far."""

    run: runs.Run
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: Mapping[str, Sequence[float | None]]

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.run.path.resolve().name

    @property
    def options(self) -> dict[str, str]:
        """All that was asked for, by its name; a name within a group follows the group's name and a dot."""
        return _flat({"architecture": self.config.get("architecture"), **self.config.get("options", {})})

    @property
    def state(self) -> str:
        """Whether it is complete, else how far it came."""
        epochs = len(self.history.get("epoch", ()))
        return "complete" if self.run.complete else f"incomplete, {epochs} epochs"


def summarised(run: runs.Run) -> Summary:
    """Read what a run has.

    Raises: ConfigurationError when it is no run directory, or a file in it is damaged.
    """
    if not run.config.is_file():
        raise ConfigurationError(f"{run.path} is no run: it has no {run.config.name}")
    found = [runs.read_json(path) if path.is_file() else {} for path in (run.metrics, run.history)]
    return Summary(run, runs.read_json(run.config), *found)


def listed(root: Path) -> list[Summary]:
    """All runs under `root`, the oldest first.

    Raises: ConfigurationError when there is none.
    """
    found = [summarised(runs.Run(path.parent)) for path in root.glob("*/config.json")]
    if not found:
        raise ConfigurationError(f"there is no run in {root}: train one with `python -m training`")
    return sorted(found, key=lambda summary: (str(summary.config.get("created")), summary.run.path.name))


def listing(summaries: Sequence[Summary]) -> str:
    """A line for each run."""
    heads = ("run", "architecture", "data", "epochs", "best", "validation", "test", "state")
    return _table([heads, *([*_results(summary), summary.state] for summary in summaries)])


def comparison(summaries: Sequence[Summary]) -> str:
    """A column for each run: its results, and the options in which they differ."""
    heads = ("", "architecture", "data", "epochs", "best epoch", "validation accuracy", "test accuracy")
    columns = [heads, *(_results(summary) for summary in summaries)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    known = {name for summary in summaries for name in summary.options} - {"architecture", "data"}
    for name in sorted(known):
        values = [summary.options.get(name, MISSING) for summary in summaries]
        if len(set(values)) > 1:
            rows.append([name, *values])
    return _table(rows)


def curves(summaries: Sequence[Summary]) -> Figure:
    """Validation and test accuracy of all runs over the epochs.

    Raises: ConfigurationError for a run without a single epoch.
    """
    for summary in summaries:
        if not summary.history.get("epoch"):
            raise ConfigurationError(f"{summary.run.path} has not finished an epoch: there is no curve to draw")
    names = [summary.name for summary in summaries]
    if len(set(names)) < len(names):
        names = [str(summary.run.path) for summary in summaries]
    return figures.overlaid(dict(zip(names, (summary.history for summary in summaries), strict=True)))


def write_curves(summaries: Sequence[Summary], root: Path) -> Path:
    """Draw `curves` into a new file under `root`, which is returned."""
    figure = curves(summaries)
    path = runs.new_file(root, f"{datetime.now(UTC):%Y%m%d-%H%M%S}-comparison", ".png")
    runs.write_figure(path, figure)
    return path


def _results(summary: Summary) -> tuple[str, ...]:
    metrics, dataset = summary.metrics, summary.config.get("dataset", {})
    return (
        summary.name,
        str(summary.config.get("architecture", MISSING)),
        str(dataset.get("name", MISSING)),
        str(len(summary.history.get("epoch", ()))),
        str(metrics.get("best_epoch", MISSING)),
        _share(metrics.get("validation_accuracy")),
        _share(metrics.get("test_accuracy")),
    )


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = str(value)
    return found


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
