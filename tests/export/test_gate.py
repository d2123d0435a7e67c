"""The parity gate: what it counts, what it refuses, and what it leaves untouched."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result

from edge.model import load_model
from export import convert, parity
from export.runs import read_run
from export.samples import Samples, read_samples

Export = Callable[..., Result]
MakeRun = Callable[..., Path]

OLD = b"an old model"
LENIENT = {"float32": (), "float16": ("--max-accuracy-loss", 1), "int8": ("--max-accuracy-loss", 1)}
"""Accuracy on noise says nothing."""


@pytest.fixture
def old_model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(OLD)
    path.with_name("model.parity.json").write_bytes(OLD)
    return path


def assert_untouched(model: Path) -> None:
    assert model.read_bytes() == OLD
    assert model.with_name("model.parity.json").read_bytes() == OLD
    assert [path.name for path in model.parent.iterdir() if path.name.endswith(".tmp")] == []


def test_other_weights_are_refused_and_the_worst_images_named(
    export: Export, grey_run: Path, other_run: Path, old_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, other = convert.to_onnx, convert.load_saved_model(read_run(other_run))
    monkeypatch.setattr(convert, "to_onnx", lambda _, name, opset: original(other, name, opset))
    result = export(grey_run, "-o", old_model)
    assert result.exit_code == 78
    assert "Error: the ONNX model answers otherwise than the SavedModel (tolerance 1e-05), so" in result.stderr
    assert_untouched(old_model)

    samples = read_samples(grey_run / "predictions" / "test.npz")
    expected = convert.load_saved_model(read_run(grey_run)).infer(samples.image)
    found = other.infer(samples.image)
    wrong = expected.argmax(1) != found.argmax(1)
    index = int(np.where(wrong, np.abs(expected - found).max(1), 0).argmax())
    lines = [line for line in result.stderr.splitlines() if line.startswith("image ")]
    assert len(lines) == 5
    assert lines[0].startswith(f"image {index} (label {samples.label[index]}, batch ")
    assert f"SavedModel says {expected[index].argmax()} (" in lines[0]
    assert f"ONNX says {found[index].argmax()} (" in lines[0]
    assert f"difference {np.abs(expected - found)[index].max():.3g}" in lines[0]


def test_no_model_is_exact_to_the_last_bit(export: Export, grey_run: Path, tmp_path: Path) -> None:
    result = export(grey_run, "-o", tmp_path / "model.onnx", "--tolerance", 0)
    assert result.exit_code == 78
    assert list(tmp_path.iterdir()) == []


def test_saved_model_that_the_run_did_not_evaluate_is_refused(
    export: Export, copied_run: Path, other_run: Path, old_model: Path
) -> None:
    shutil.rmtree(copied_run / "models" / "saved_model")
    shutil.copytree(other_run / "models" / "saved_model", copied_run / "models" / "saved_model")
    result = export(copied_run, "-o", old_model)
    assert result.exit_code == 65
    assert "it is not the model that the run evaluated" in result.stderr
    assert_untouched(old_model)


@pytest.mark.parametrize("ending", ["nan", "logits"])
def test_outputs_that_are_no_probabilities_are_refused(
    export: Export, make_run: MakeRun, ending: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "20261123-201800-tiny-noise", (28, 28, 1), 10, 5, ending=ending)
    result = export(run, "-o", tmp_path / "model.onnx")
    assert result.exit_code == 78
    assert "no probabilities that sum to 1" in result.stderr
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_temperature_of_a_calibrated_model_comes_along(
    export: Export, make_run: MakeRun, precision: str, tmp_path: Path
) -> None:
    """The same weights with and without: the ONNX models' probabilities differ by the temperature, and nothing else."""
    answers = []
    for ending in ("softmax", "calibrated"):
        run = make_run(tmp_path / ending / "20261123-201900-tiny-noise", (28, 28, 1), 10, 100, ending=ending)
        model = tmp_path / f"{ending}.onnx"
        result = export(run, "-o", model, "--precision", precision, *LENIENT[precision])
        assert result.exit_code == 0, result.output
        answers.append(load_model(model).infer(read_samples(run / "predictions" / "test.npz").image))
    trained, calibrated = answers
    expected = trained.astype(np.float64) ** (1 / 1.7)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(calibrated, expected, atol=2e-3 if precision == "float16" else 1e-5)
    assert np.abs(calibrated - trained).max() > 0.1


def test_full_disk_leaves_the_old_pair(
    export: Export, grey_run: Path, old_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = export(grey_run, "-o", old_model)
    assert result.exit_code == 78
    assert "cannot be written (No space left on device)" in result.stderr
    assert_untouched(old_model)


class TableModel:
    """Answers with the rows of a table; the image is the row's number."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = np.asarray(rows, np.float32)
        self.batches: list[int] = []

    def __call__(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        self.batches.append(len(images))
        return np.asarray(self.rows[images])


def table(count: int) -> Samples:
    return Samples(np.arange(count), np.zeros(count, np.int64), None)


def test_ties_are_counted_and_excepted() -> None:
    reference = TableModel([[0.5, 0.499999, 0], [0.5, 0.499999, 0], [0.7, 0.3, 0], [0.2, 0.2, 0.6]])
    other = TableModel([[0.499999, 0.5, 0], [0.5, 0.499999, 0], [0.7, 0.3, 0], [0.2, 0.2, 0.6]])
    verdict = parity.compare(reference, other, table(4), 1e-5)
    for batch in verdict.batches:
        assert (batch.agreeing, batch.ties, batch.excepted, batch.disagreeing) == (3, 2, 1, 0)
        assert batch.agreement == 1
        assert batch.max_difference == pytest.approx(1e-6, abs=1e-7)
    assert verdict.passed
    assert verdict.accuracy == 0.5
    assert json.loads(json.dumps(verdict.to_dict(), allow_nan=False))["worst"][0]["index"] == 0


def test_disagreement_beyond_a_tie_fails_though_the_difference_is_small() -> None:
    reference, other = TableModel([[0.50001, 0.49999]]), TableModel([[0.499994, 0.500006]])
    verdict = parity.compare(reference, other, table(1), 1.7e-5)
    assert verdict.batches[0].max_difference <= verdict.tolerance
    assert (verdict.batches[0].ties, verdict.batches[0].disagreeing) == (0, 1)
    assert verdict.batches[0].agreement == 0
    assert not verdict.passed


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", ["reference", "other", "both"])
def test_output_that_is_not_finite_fails(broken: float, side: str) -> None:
    good, bad = [[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.2, broken]]
    reference, other = TableModel(bad if side != "other" else good), TableModel(bad if side != "reference" else good)
    verdict = parity.compare(reference, other, table(2), 1e-5)
    assert [(batch.non_finite, batch.disagreeing) for batch in verdict.batches] == [(1, 1), (1, 1)]
    assert not verdict.passed
    assert verdict.worst[0].index == 1
    assert verdict.worst[0].difference is None
    assert "difference not finite" in str(verdict.worst[0])
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_every_image_is_compared_at_both_batch_sizes() -> None:
    count = 2 * 256 + 3
    rows = [[0.5, 0.3, 0.2]] * count
    reference, other = TableModel(rows), TableModel([*rows[:-1], [0.5, 0.29, 0.21]])
    done: list[int] = []
    verdict = parity.compare(reference, other, table(count), 1e-5, advance=done.append)
    assert reference.batches == other.batches == [1] * count + [256, 256, 3]
    assert sum(done) == 4 * count
    assert not verdict.passed
    assert [batch.images for batch in verdict.batches] == [count, count]
    assert verdict.worst[0].index == count - 1
    assert len({difference.index for difference in verdict.worst}) == 5
