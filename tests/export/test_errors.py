"""A run that cannot be exported: one sentence, the right exit code, and no model."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

Export = Callable[..., Result]


def write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    write_json(path, document)


def rewrite(run: Path, **changed: Any) -> None:
    path = run / "predictions" / "test.npz"
    with np.load(path) as archive:
        content = dict(archive) | changed
    np.savez(path, **{key: value for key, value in content.items() if value is not None})


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def rename_to_few(run: Path) -> None:
    edit(run / "config.json", lambda d: d["dataset"].update(label_names=["a", "b"]))
    edit(run / "reference.json", lambda d: d.pop("class_mix"))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no metrics": (lambda r: (r / "metrics.json").unlink(), "is incomplete (no metrics.json): train to the end"),
    "no config": (lambda r: (r / "config.json").unlink(), "is incomplete (no config.json)"),
    "config no JSON": (lambda r: (r / "config.json").write_text("{"), "config.json cannot be read"),
    "config a list": (lambda r: (r / "config.json").write_text("[]"), "config.json must hold a JSON object"),
    "no labels": (lambda r: edit(r / "config.json", lambda d: d["dataset"].pop("label_names")), "has no 'label_names'"),
    "same labels": (
        lambda r: edit(r / "config.json", lambda d: d["dataset"].update(label_names=["a"] * 10)),
        "'label_names' must be strings that differ",
    ),
    "few labels": (
        rename_to_few,
        "'probabilities' is float32 of shape (300, 10); it must be floats of shape (300, 2)",
    ),
    "shape of another model": (
        lambda r: edit(r / "config.json", lambda d: d["dataset"].update(image_shape=[14, 56, 1])),
        "takes [28, 28, 1] and knows 10 classes, but the run's config.json says [14, 56, 1] and 10 label names",
    ),
    "labels a text": (
        lambda r: edit(r / "config.json", lambda d: d["dataset"].update(label_names="abc")),
        "'label_names' is of the wrong type",
    ),
    "other shape": (
        lambda r: edit(r / "config.json", lambda d: d["dataset"].update(image_shape=[0, 28, 1])),
        "'image_shape' must be positive integers",
    ),
    "accuracy": (
        lambda r: (r / "metrics.json").write_text('{"test_accuracy": NaN}'),
        "'test_accuracy' must be a number from 0 to 1",
    ),
    "no reference": (lambda r: (r / "reference.json").unlink(), "there is no"),
    "no golden": (lambda r: write_json(r / "reference.json", {"golden": []}), "'golden' must be a list"),
    "class mix of too few": (
        lambda r: edit(r / "reference.json", lambda d: d.update(class_mix={"class 0": 1.0})),
        "a number from 0 to 1 for each label",
    ),
    "class mix of other labels": (
        lambda r: edit(r / "reference.json", lambda d: d.update(class_mix={f"{number}": 0.1 for number in range(10)})),
        "'class_mix' must have a number from 0 to 1 for each label",
    ),
    "class mix of nothing": (
        lambda r: edit(
            r / "reference.json", lambda d: d.update(class_mix={f"class {number}": 0 for number in range(10)})
        ),
        "'class_mix' sums to 0.0000 instead of 1",
    ),
    "confidence no number": (
        lambda r: edit(r / "reference.json", lambda d: d.update(confidence={"mean": float("nan")})),
        "'mean' must be a number from 0 to 1, not nan",
    ),
    "no confidence": (lambda r: edit(r / "reference.json", lambda d: d.update(confidence=None)), "has no 'confidence'"),
    "short golden": (
        lambda r: write_json(r / "reference.json", {"golden": [{"image": "AAAA"}]}),
        "'golden' must be a list of uint8 images [28, 28, 1] in base64",
    ),
    "no SavedModel": (
        lambda r: (r / "models" / "saved_model" / "saved_model.pb").unlink(),
        "there is no SavedModel in",
    ),
    "SavedModel damaged": (
        lambda r: (r / "models" / "saved_model" / "saved_model.pb").write_bytes(b"\xff" * 1000),
        "cannot be loaded",
    ),
    "weights damaged": (
        lambda r: truncate(r / "models" / "saved_model" / "variables" / "variables.data-00000-of-00001"),
        "cannot be loaded",
    ),
    "no predictions": (lambda r: (r / "predictions" / "test.npz").unlink(), "there is no"),
    "predictions damaged": (lambda r: truncate(r / "predictions" / "test.npz"), "cannot be read"),
    "predictions .npy": (
        lambda r: (r / "predictions" / "test.npz").write_bytes(b"\x93NUMPY"),
        "cannot be read",
    ),
    "other images": (
        lambda r: rewrite(r, image=np.zeros((300, 5, 5, 1), np.uint8)),
        "holds images of uint8 [5, 5, 1]; the model needs uint8 [28, 28, 1]",
    ),
    "few probabilities": (
        lambda r: rewrite(r, probabilities=np.zeros((300, 3), np.float32)),
        "it must be floats of shape (300, 10)",
    ),
    "flat probabilities": (lambda r: rewrite(r, probabilities=np.zeros(300)), "it must be floats of shape (300, 10)"),
    "no probabilities": (lambda r: rewrite(r, probabilities=None), "has no array 'probabilities'"),
    "no image": (lambda r: rewrite(r, image=None), "has no array 'image'"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_run(export: Export, case: str, copied_run: Path, tmp_path: Path) -> None:
    damage, message = DAMAGE[case]
    damage(copied_run)
    result = export(copied_run, "-o", tmp_path / "model.onnx")
    assert result.exit_code == 65, result.output
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "model.onnx").exists()


def test_no_run_at_all(export: Export, tmp_path: Path) -> None:
    for runs in (tmp_path / "missing", tmp_path):
        result = export("--runs", runs)
        assert result.exit_code == 65
        assert result.stderr == f"Error: there is no complete run in {runs}: train one with `python -m training`\n"


def test_usage(export: Export, tmp_path: Path, copied_run: Path) -> None:
    (tmp_path / "file").touch()
    for arguments in [
        (tmp_path / "missing",),
        (tmp_path / "file",),
        (copied_run, "--opset", "99"),
        (copied_run, "--tolerance", "-1"),
        (copied_run, "-o", tmp_path),
        ("evaluate",),
    ]:
        assert export(*arguments).exit_code == 2, arguments


def test_run_called_like_the_command(export: Export, copied_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied_run.parent)
    copied_run.rename("evaluate")
    assert export("evaluate").exit_code == 2
    result = export("./evaluate")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "model.onnx"


def test_output_that_cannot_be_written(export: Export, copied_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        result = export(copied_run, "-o", folder / "model.onnx")
        assert result.exit_code == 78
        assert f"{folder} is not a directory that you may write to" in result.stderr


def test_without_tensorflow(copied_run: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['tensorflow'] = None\nfrom export.__main__ import main; main()"
    command = [sys.executable, "-c", code, str(copied_run), "-o", str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 78, done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "Error: export needs tensorflow, which is not installed here: . .venv"
    )
