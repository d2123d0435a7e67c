"""Runs side by side: what is listed, what differs, and what is drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from training import compare, runs
from training.__main__ import main
from training.errors import ConfigurationError


def make(root: Path, created: str, accuracy: float | None, **options: Any) -> runs.Run:
    run = runs.create(root, "lenet", "bands")
    config = {"created": created, "architecture": "lenet", "options": options, "dataset": {"name": "bands"}}
    runs.write_json(run.config, config)
    runs.write_json(run.history, {"epoch": [1, 2], "val_accuracy": [0.5, None], "test_accuracy": [0.4, 0.6]})
    if accuracy is not None:
        runs.write_json(run.metrics, {"best_epoch": 1, "validation_accuracy": 0.5, "test_accuracy": accuracy})
    return run


def test_all_runs_are_listed_the_oldest_first(tmp_path: Path) -> None:
    late = make(tmp_path, "2026-02-01", 0.875)
    crashed = make(tmp_path, "2026-01-01", None)
    lines = compare.listing(compare.listed(tmp_path)).splitlines()
    assert lines[0].split() == ["run", "architecture", "data", "epochs", "best", "validation", "test", "state"]
    assert [line.split()[0] for line in lines[1:]] == [crashed.path.name, late.path.name]
    assert lines[1].split()[1:] == ["lenet", "bands", "2", "-", "-", "-", "incomplete,", "2", "epochs"]
    assert lines[2].split()[1:] == ["lenet", "bands", "2", "1", "0.5000", "0.8750", "complete"]


def test_only_options_that_differ_are_compared(tmp_path: Path) -> None:
    first = make(tmp_path, "2026-01-01", 0.8, seed=0, recipe={"epochs": 2, "optimiser": "adam"})
    second = make(tmp_path, "2026-01-02", 0.9, seed=1, recipe={"epochs": 2, "optimiser": "sgd"}, extra=True)
    rows = [line.split() for line in compare.comparison([compare.summarised(r) for r in (first, second)]).splitlines()]
    assert rows[0] == [first.path.name, second.path.name]
    assert rows[5:7] == [["validation", "accuracy", "0.5000", "0.5000"], ["test", "accuracy", "0.8000", "0.9000"]]
    assert rows[7:] == [["extra", "-", "True"], ["recipe.optimiser", "adam", "sgd"], ["seed", "0", "1"]]


def test_curves_have_each_run_once_in_both_panels(tmp_path: Path) -> None:
    summaries = [compare.summarised(make(tmp_path, "2026-01-01", 0.8)) for _ in range(3)]
    validation, test = compare.curves(summaries).axes
    assert [line.get_label() for line in validation.lines] == [summary.run.path.name for summary in summaries]
    assert np.asarray(test.lines[0].get_xdata()).tolist() == [1, 2]
    assert np.asarray(test.lines[0].get_ydata()).tolist() == [0.4, 0.6]
    assert len({line.get_color() for line in test.lines}) == 3


def test_each_drawing_is_a_new_file(tmp_path: Path) -> None:
    summaries = [compare.summarised(make(tmp_path, "2026-01-01", 0.8))]
    drawn = {compare.write_curves(summaries, tmp_path) for _ in range(3)}
    assert len(drawn) == 3
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_runs_of_one_name_are_told_apart_by_their_places(tmp_path: Path) -> None:
    made = [make(tmp_path / name, "2026-01-01", 0.8) for name in ("a", "b")]
    same = [run.path.rename(run.path.with_name("run")) for run in made]
    summaries = [compare.summarised(runs.Run(path)) for path in same]
    assert [line.get_label() for line in compare.curves(summaries).axes[0].lines] == [str(path) for path in same]


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no run in"):
        compare.listed(tmp_path)
    with pytest.raises(ConfigurationError, match=r"is no run: it has no config\.json"):
        compare.summarised(runs.Run(tmp_path))
    run = make(tmp_path, "2026-01-01", None)
    run.history.unlink()
    with pytest.raises(ConfigurationError, match="has not finished an epoch"):
        compare.curves([compare.summarised(run)])


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_commands_print_what_is_compared(tmp_path: Path) -> None:
    one, other = make(tmp_path, "2026-01-01", 0.8, seed=0), make(tmp_path, "2026-01-02", 0.9, seed=1)
    found = command("--list", "--runs", tmp_path)
    assert found.exit_code == 0, found.output
    assert [line.split()[0] for line in found.stdout.splitlines()[1:]] == [one.path.name, other.path.name]
    found = command("--compare", one.path, other.path, "--runs", tmp_path)
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert lines[-2].split() == ["seed", "0", "1"]
    assert Path(lines[-1]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare", "RUN"], "at least two runs"),
        (["--list", "RUN"], "RUN is only for"),
        (["--dont-train", "RUN", "RUN"], "only --compare takes more than one RUN"),
        (["--list", "--seed", "1"], "--list contradicts --seed: nothing is trained"),
        (["--list", "--compare"], "--list contradicts --compare"),
        (["--dont-train", "--list"], "--dont-train contradicts --list"),
    ],
)
def test_what_contradicts_is_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    found = command(*(str(tmp_path) if word == "RUN" else word for word in arguments))
    assert found.exit_code == 2
    assert message in " ".join(found.output.replace("│", " ").split())
