"""One training under several seeds: the runs, the summary, and the command."""

import shutil
import statistics
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from training import finish, runs, seeds, train
from training.__main__ import main
from training.recipes import Recipe


def test_command_trains_each_seed_as_alone_and_sums_up(bands_npz: Path, tmp_path: Path) -> None:
    words = ["--data", bands_npz, "--runs", tmp_path, "--seeds", 3, 4, "--epochs", 2, "--batch-size", 64]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.glob("*.json")
    assert path.name.endswith("-lenet-bands-seeds.json")
    document = runs.read_json(path)
    trained = [runs.Run(tmp_path / name) for name in document["runs"]]
    configs = [runs.read_json(run.config)["options"] for run in trained]
    assert [config["seed"] for config in configs] == document["seeds"] == [3, 4]
    accuracies = [runs.read_json(run.metrics)["test_accuracy"] for run in trained]
    assert document["test_accuracy"] == accuracies
    assert document["mean"] == pytest.approx(sum(accuracies) / 2)
    assert document["sd"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    lines = done.stdout.splitlines()
    assert lines[-1] == str(path)
    assert lines[-2] == f"test accuracy  {document['mean']:.4f} ± {document['sd']:.4f} (2 seeds)"
    assert lines[:2] == [
        f"seed {n}  {a:.4f}  {run.path}" for n, a, run in zip((3, 4), accuracies, trained, strict=True)
    ]
    shutil.rmtree(trained[1].path)
    again = CliRunner().invoke(main, [*(str(word) for word in words), "--resume"])
    assert again.exit_code == 0, again.output
    assert again.stdout.splitlines()[0] == lines[0]
    other = runs.Run(Path(again.stdout.splitlines()[1].split("  ")[-1]))
    assert again.stdout.splitlines()[-2] == lines[-2]
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert len(list(tmp_path.glob("*/config.json"))) == 2
    alone = train.train_and_evaluate(train.options_of(other), tmp_path / "alone")
    one, second = (finish.load_model(run).get_weights() for run in (alone, other))
    assert [a.tobytes() for a in one] == [b.tobytes() for b in second]


def test_spread_is_the_samples(tmp_path: Path) -> None:
    trained = [runs.create(tmp_path, "lenet", "d") for _ in range(3)]
    accuracies = [0.5, 0.7, 0.9]
    for run, accuracy in zip(trained, accuracies, strict=True):
        runs.write_json(run.metrics, {"test_accuracy": accuracy})
    repeated = seeds.summary(train.Options(recipe=Recipe()), [0, 1, 2], trained)
    assert repeated.sd == pytest.approx(statistics.stdev(accuracies)) == pytest.approx(0.2)
    assert str(repeated) == "0.7000 ± 0.2000 (3 seeds)"
    single = seeds.summary(train.Options(recipe=Recipe()), [0], trained[:1])
    assert (single.sd, str(single)) == (None, "0.5000 (1 seed)")


def test_resume_takes_only_runs_with_the_same_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = train.Options(recipe=Recipe(epochs=2))
    calls: list[tuple[str, object]] = []

    def made(asked: train.Options, complete: bool, state: bool = True) -> runs.Run:
        run = runs.create(tmp_path, "lenet", "d")
        runs.write_json(run.config, {"created": str(len(list(tmp_path.iterdir()))), "options": asdict(asked)})
        if complete:
            runs.write_json(run.metrics, {"test_accuracy": 0.5})
        if state:
            run.state.touch()
        return run

    def complete(run: runs.Run, started: object) -> runs.Run:
        calls.append(("go on", run.path.name))
        runs.write_json(run.metrics, {"test_accuracy": 0.5})
        return run

    def train_anew(asked: train.Options, root: Path, started: object) -> runs.Run:
        calls.append(("train", asked.seed))
        return made(asked, True)

    monkeypatch.setattr(train, "go_on", complete)
    monkeypatch.setattr(train, "train_and_evaluate", train_anew)
    done = made(replace(options, seed=1), True, state=False)
    made(replace(options, seed=1), False)
    cut = made(replace(options, seed=2), False)
    made(replace(options, seed=3), False, state=False)
    made(replace(options, seed=3, recipe=Recipe(epochs=3)), True)
    runs.write_json(made(options, True).config, {"options": {"colour": 1}})
    repeated, _ = seeds.train_each(options, [1, 2, 3], tmp_path, resume=True)
    assert calls == [("go on", cut.path.name), ("train", 3)]
    assert repeated.runs[:2] == (done.path.name, cut.path.name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0", "1", "--seed", "2"], "--seeds contradicts --seed"),
        (["--seeds", "0", "1", "0"], "--seeds: 0 comes twice"),
        (["--seeds", "-1"], "--seeds"),
        (["--seeds"], "--seeds"),
        (["--resume", "--seeds", "1", "--seed", "1"], "--seeds contradicts --seed"),
        (["--resume", "--seeds", "1", "--epochs", "2", "."], "RUN is only for --resume, --dont-train and --compare"),
        (["--dont-train", "--seeds", "1"], "--dont-train contradicts --seeds"),
    ],
)
def test_mistakes(words: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--runs", str(tmp_path), *words])
    assert done.exit_code == 2, done.output
    assert message in done.stderr
