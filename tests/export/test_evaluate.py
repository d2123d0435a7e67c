"""`python -m export evaluate` scores an ONNX file with onnxruntime alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from click.testing import Result

Arrays = dict[str, npt.NDArray[Any]]
Export = Callable[..., Result]


@pytest.fixture(scope="module")
def model(export: Export, grey_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    assert export(grey_run, "-o", path).exit_code == 0
    return path


def test_accuracy_is_what_tensorflow_recorded(export: Export, recorded: Arrays, model: Path, grey_run: Path) -> None:
    result = export("evaluate", model, "--data", grey_run / "predictions" / "test.npz")
    assert result.exit_code == 0, result.output
    right = recorded["probabilities"].argmax(1) == recorded["label"]
    assert result.stdout.splitlines()[-1] == f"accuracy {right.mean():.4f}: {right.sum()} of 300 images"
    for number in range(10):
        of_class = right[recorded["label"] == number]
        assert result.stdout.splitlines()[number] == f"class {number}  {of_class.mean():.4f}  of {len(of_class)}"


def test_newest_run_is_the_default_and_a_class_may_be_absent(
    export: Export, recorded: Arrays, model: Path, copied_run: Path
) -> None:
    path = copied_run / "predictions" / "test.npz"
    kept = recorded["label"] != 3
    np.savez(path, image=recorded["image"][kept][..., 0], label=recorded["label"][kept].astype(np.uint8))
    result = export("evaluate", model, "--runs", copied_run.parent)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[3] == "class 3       -  of 0"
    assert result.stdout.splitlines()[-1].endswith(f"of {kept.sum()} images")


def test_newest_run_is_the_one_created_last(export: Export, recorded: Arrays, model: Path, copied_run: Path) -> None:
    old = copied_run.rename(copied_run.with_name("z-renamed"))
    new = Path(shutil.copytree(old, old.with_name("a")))
    config = json.loads((old / "config.json").read_text())
    (new / "config.json").write_text(json.dumps(config | {"created": "2999-01-01T00:00:00+00:00"}))
    np.savez(new / "predictions" / "test.npz", image=recorded["image"][:7], label=recorded["label"][:7])
    result = export("evaluate", model, "--runs", old.parent)
    assert result.stdout.splitlines()[-1].endswith("of 7 images")


def test_data_with_classes_of_other_names_is_refused(
    export: Export, recorded: Arrays, model: Path, tmp_path: Path
) -> None:
    names = [f"class {number}" for number in (0, 1, 2, 4, 3, 5, 6, 7, 8, 9)]
    path = tmp_path / "other.npz"
    np.savez(path, image=recorded["image"], label=recorded["label"], label_names=names)
    result = export("evaluate", model, "--data", path)
    assert result.exit_code == 65
    assert "other.npz calls class 3 'class 4'; the model calls it 'class 3'" in result.stderr
    np.savez(path, image=recorded["image"], label=recorded["label"], label_names=[str(n) for n in range(10)])
    assert export("evaluate", model, "--data", path).exit_code == 0


def test_fresh_interpreter_does_not_import_tensorflow(model: Path, grey_run: Path) -> None:
    code = (
        "import sys; from export.__main__ import main\n"
        f"main(['evaluate', {str(model)!r}, '--data', {str(grey_run / 'predictions' / 'test.npz')!r}],"
        " standalone_mode=False)\n"
        "assert not {'tensorflow', 'keras', 'tf2onnx', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("of 300 images")


def test_model_that_is_none(export: Export, model: Path, grey_run: Path, tmp_path: Path) -> None:
    data = model.read_bytes()
    bare = onnx.load_from_string(data)
    del bare.metadata_props[:]
    files = {
        "truncated": data[: len(data) // 2],
        "text": b"this is not a model",
        "empty": b"",
        "bare": bare.SerializeToString(),
    }
    for name, content in files.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        result = export("evaluate", path, "--data", grey_run / "predictions" / "test.npz")
        assert result.exit_code == 78, name
        assert result.stderr.startswith(f"Error: {path}: "), result.stderr
    missing = export("evaluate", tmp_path / "missing.onnx")
    assert missing.exit_code == 78
    assert missing.stderr == f"Error: there is no model file {tmp_path / 'missing.onnx'}\n"


def test_data_that_cannot_be_scored(export: Export, model: Path, colour_run: Path, tmp_path: Path) -> None:
    image, label = np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, np.int64)
    cases = {
        "float32": ({"image": image.astype(np.float32), "label": label}, "'image' is float32"),
        "labels": ({"image": image, "label": label + 10}, "labels from 10 to 10; the model has 10 classes"),
        "negative": ({"image": image, "label": label - 1}, "labels from -1 to -1"),
        "count": ({"image": image, "label": label[:3]}, "it must be integers of (4,)"),
        "none": ({"image": image[:0], "label": label[:0]}, "holds no image"),
        "fraction": ({"image": image, "label": label + 0.5}, "'label' is float64"),
        "unlabelled": ({"image": image}, "has no labels to compare with"),
        "pickled": ({"image": np.array([{}, {}]), "label": label}, "cannot be read"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **content)  # type: ignore[arg-type]
        result = export("evaluate", model, "--data", path)
        assert result.exit_code == 65, name
        assert str(path) in result.stderr
        assert message in result.stderr
    other = export("evaluate", model, "--data", colour_run / "predictions" / "test.npz")
    assert other.exit_code == 65
    assert "holds images of uint8 [16, 16, 3]; the model needs uint8 [28, 28, 1]" in other.stderr


def test_no_data_at_all(export: Export, model: Path, tmp_path: Path) -> None:
    for arguments, message in [
        (("--data", tmp_path / "missing.npz"), "there is no "),
        (("--runs", tmp_path / "runs"), "train one with `python -m training`"),
        (("--data", model), "is no IDX file"),
        (("--data", tmp_path), "holds no IDX file"),
    ]:
        result = export("evaluate", model, *arguments)
        assert result.exit_code == 65
        assert message in result.stderr
