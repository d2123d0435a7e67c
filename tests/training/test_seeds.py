"""One training under several seeds: the runs, the summary, and the command."""

import statistics
from pathlib import Path

import pytest
from click.testing import CliRunner

from training import runs, seeds, train
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
    alone = train.train_and_evaluate(train.options_of(trained[1]), tmp_path)
    one, other = (train.load_model(run).get_weights() for run in (alone, trained[1]))
    assert [a.tobytes() for a in one] == [b.tobytes() for b in other]


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0", "1", "--seed", "2"], "--seeds contradicts --seed"),
        (["--seeds", "0", "1", "0"], "--seeds: 0 comes twice"),
        (["--seeds", "-1"], "--seeds"),
        (["--seeds"], "--seeds"),
        (["--resume", "--seeds", "1"], "--resume contradicts --seeds"),
    ],
)
def test_mistakes(words: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--runs", str(tmp_path), *words])
    assert done.exit_code == 2, done.output
    assert message in done.stderr
