"""`python -m bench.precision`: what it measures of real models, and what it says of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from bench.precision import main, table, verdict
from tests.paths import IMAGES, LENET

QUICK = ("--rounds", "3")


def measured(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in (*arguments, *QUICK)])


def test_two_models_are_measured_side_by_side(tmp_path: Path) -> None:
    copy = Path(shutil.copy(LENET, tmp_path / "copy.onnx"))
    output = tmp_path / "precision.json"
    result = measured(LENET, copy, "--batch", 1, "--batch", 8, "--output", output)
    assert result.exit_code == 0, result.output
    document = json.loads(output.read_text())
    assert document["configuration"] == {"images": IMAGES.name, "count": 200, "rounds": 3, "threads": 1}
    first, second = document["results"]["models"]
    assert (first["model"], second["model"]) == ("lenet.onnx", "copy.onnx")
    for row in (first, second):
        assert row["precision"] == "float32"
        assert row["size_bytes"] == LENET.stat().st_size
        assert row["accuracy"] > 0.85
        assert set(row["us_an_image"]) == {"1", "8"}
        for found in row["us_an_image"].values():
            assert 0 < found["low"] <= found["median"] <= found["high"]
    assert first["ratio_to_first"]["1"] == {"median": 1, "low": 1, "high": 1}
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["model", "precision", "bytes", "accuracy"]
    assert [line.split()[:2] for line in lines[1:3]] == [["lenet.onnx", "float32"], ["copy.onnx", "float32"]]
    assert lines[3].startswith("copy.onnx (float32) beside lenet.onnx (float32): ")
    assert lines[3].endswith("; as large; +0.00 points of accuracy")
    assert lines[-1] == f"JSON: {output}"


def test_images_that_cannot_be_scored(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    image = np.zeros((4, 28, 28), np.uint8)
    for content, message in [
        ({"image": image}, "has no labels to compare with"),
        ({"image": image[:, 1:], "label": np.zeros(4, np.uint8)}, "holds images of uint8 [27, 28]; lenet takes"),
    ]:
        np.savez(path, **content)  # type: ignore[arg-type]
        result = measured(LENET, "--images", path)
        assert result.exit_code == 65
        assert f"{path} {message}" in result.stderr
        assert "Traceback" not in result.output


def row(precision: str, size: int, accuracy: float, *ratios: tuple[float, float, float]) -> dict[str, Any]:
    found = [dict(zip(("low", "median", "high"), ratio, strict=True)) for ratio in ratios]
    by_batch = dict(zip(("1", "32"), found, strict=True))
    return {
        "model": f"{precision}.onnx",
        "precision": precision,
        "size_bytes": size,
        "accuracy": accuracy,
        "us_an_image": by_batch,
        "ratio_to_first": by_batch,
    }


def test_what_is_slower_is_called_slower() -> None:
    first = row("float32", 340_000, 0.91, (1, 1, 1), (1, 1, 1))
    int8 = row("int8", 100_000, 0.9075, (1.6, 1.7, 1.8), (0.7, 0.8, 0.9))
    assert verdict(int8, first) == (
        "int8.onnx (int8) beside float32.onnx (float32): 1.70 x slower at batch 1, 1.25 x faster at batch 32; "
        "3.40 x smaller; -0.25 points of accuracy"
    )
    half = row("float16", 170_000, 0.91, (0.98, 1.01, 1.04), (1, 1, 1))
    assert verdict(half, first) == (
        "float16.onnx (float16) beside float32.onnx (float32): as fast at batch 1, as fast at batch 32; "
        "2.00 x smaller; +0.00 points of accuracy"
    )
    assert table([first, half]).splitlines()[2].split() == [
        "float16.onnx", "float16", "170,000", "0.9100", *2 * ["1.0", "(1.0", "to", "1.0)"],
    ]  # fmt: skip
