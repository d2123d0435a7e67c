"""`python -m export` from a SavedModel to a model that the edge reads back."""

import hashlib
import json
import os
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

from edge.contract import METADATA_KEY, Contract
from edge.model import load_model
from export import convert
from export.runs import read_run
from export.tidy import tidy

Arrays = dict[str, npt.NDArray[Any]]
Export = Callable[..., Result]

EXPECTED: dict[str, dict[str, Any]] = {
    "grey_run": {"shape": (28, 28, 1), "classes": 10, "images": 300},
    "colour_run": {"shape": (16, 16, 3), "classes": 3, "images": 40},
}


@pytest.mark.parametrize("fixture", ["grey_run", "colour_run"])
def test_contract_is_read_back_and_parity_passes(
    export: Export, fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run, expected = request.getfixturevalue(fixture), EXPECTED[fixture]
    output = tmp_path / "model.onnx"
    result = export(run, "-o", output)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(output)

    contract = load_model(output).contract
    metrics = json.loads((run / "metrics.json").read_text())
    assert contract.name == "tiny"
    assert contract.version == run.name[:15]
    assert contract.run == run.name
    assert contract.dataset == "noise"
    assert contract.precision == "float32"
    assert contract.created == "2026-11-23T20:15:00+00:00"
    assert contract.test_accuracy == metrics["test_accuracy"]
    assert (contract.input_name, contract.dtype, contract.shape) == ("image", "uint8", expected["shape"])
    assert (contract.layout, contract.output_name) == ("HWC", "probabilities")
    assert contract.labels == tuple(f"class {number}" for number in range(expected["classes"]))
    written = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert Contract.from_json(written[METADATA_KEY]).to_json() == contract.to_json() == written[METADATA_KEY]

    report = json.loads((tmp_path / "model.parity.json").read_text())
    assert report["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert report["run"] == run.name
    assert report["passed"] is True
    assert report["test_accuracy"] == pytest.approx(metrics["test_accuracy"])
    assert report["recorded_agreement"] == 1
    assert [batch["batch"] for batch in report["batches"]] == [1, 256]
    for batch in report["batches"]:
        assert batch["images"] == batch["agreeing"] == expected["images"]
        assert batch["agreement"] == 1
        assert batch["max_difference"] <= 1e-5
    assert len(report["worst"]) == 5
    assert set(report["versions"]) == {"python", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "numpy"}


def test_a_run_from_before_there_were_class_mixes_has_no_reference(copied_run: Path) -> None:
    path = copied_run / "reference.json"
    document = json.loads(path.read_text())
    assert read_run(copied_run).reference is not None
    path.write_text(json.dumps({"golden": document["golden"]}))
    assert read_run(copied_run).reference is None


def test_model_answers_as_the_run_recorded(export: Export, recorded: Arrays, grey_run: Path, tmp_path: Path) -> None:
    assert export(grey_run, "-o", tmp_path / "model.onnx").exit_code == 0
    model = load_model(tmp_path / "model.onnx")
    np.testing.assert_allclose(model.infer(recorded["image"]), recorded["probabilities"], atol=1e-5)
    reference = model.contract.reference
    assert reference is not None
    assert reference.class_mix == tuple(np.bincount(recorded["probabilities"].argmax(1), minlength=10) / 300)
    assert reference.confidence == pytest.approx(float(recorded["probabilities"].max(1).mean()))
    golden = model.contract.golden
    assert len(golden) == 3
    for number, item in enumerate(golden):
        np.testing.assert_array_equal(item.image, recorded["image"][number])
        # The reference's own probabilities are wrong on purpose: golden outputs are the ONNX model's.
        np.testing.assert_array_equal(item.probabilities, model.infer(item.image[np.newaxis])[0])


def test_file_is_plain_onnx_and_tells_nothing_of_its_maker(export: Export, grey_run: Path, tmp_path: Path) -> None:
    assert export(grey_run, "-o", tmp_path / "model.onnx", "--opset", 17).exit_code == 0
    data = (tmp_path / "model.onnx").read_bytes()
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(weight.external_data for weight in model.graph.initializer)
    assert {model.doc_string, model.graph.doc_string, *(node.doc_string for node in model.graph.node)} == {""}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for secret in (str(tmp_path), str(Path.home()), str(grey_run.parent), sys.prefix, "somebody", "inference_serve"):
        assert secret.encode() not in data, secret


def test_same_run_gives_same_bytes_in_another_process(export: Export, grey_run: Path, tmp_path: Path) -> None:
    assert export(grey_run, "-o", tmp_path / "here.onnx").exit_code == 0
    command = [sys.executable, "-m", "export", str(grey_run), "-o", str(tmp_path / "there.onnx")]
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()
    assert done.stdout.splitlines()[-1] == str(tmp_path / "there.onnx")
    # Nothing of TensorFlow's own chatter: three lines of ours.
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["run", "converted", "comparing"]


def test_newest_complete_run_is_the_default(export: Export, copied_run: Path, other_run: Path, tmp_path: Path) -> None:
    unfinished = copied_run.with_name("20991231-000000-tiny-noise")
    unfinished.mkdir()
    (unfinished / "config.json").write_text("{}")
    older = copied_run.with_name("20200101-000000-tiny-noise")
    older.symlink_to(other_run, target_is_directory=True)
    result = export("--runs", copied_run.parent, "-o", tmp_path / "model.onnx")
    assert result.exit_code == 0, result.output
    assert load_model(tmp_path / "model.onnx").contract.run == copied_run.name


def test_run_of_a_file_elsewhere_names_the_file_alone(copied_run: Path) -> None:
    config = copied_run / "config.json"
    for name, expected in [
        ("/home/somebody/faces.npz", "faces.npz"),
        ("C:\\data\\faces.npz", "faces.npz"),
        ("../faces.npz", "faces.npz"),
        ("mnist_corrupted/identity", "mnist_corrupted/identity"),
    ]:
        document = json.loads(config.read_text())
        document["dataset"]["name"] = name
        config.write_text(json.dumps(document))
        assert read_run(copied_run).dataset == expected


def test_help_shows_export_and_evaluate_without_tensorflow() -> None:
    code = (
        "import sys; from export.__main__ import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "assert not {'tensorflow', 'tf2onnx', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--opset" in done.stdout
    assert "evaluate" in done.stdout


def test_tidy_drops_what_no_output_needs(grey_run: Path) -> None:
    saved = convert.load_saved_model(read_run(grey_run))
    clean = convert.to_onnx(saved, "tiny", 17)
    cluttered = onnx.ModelProto()
    cluttered.CopyFrom(clean)
    cluttered.graph.node.append(onnx.helper.make_node("Neg", ["image"], ["unused"], doc_string="/home/somebody"))
    cluttered.graph.node[0].doc_string = "/home/somebody"
    cluttered.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    assert tidy(cluttered, "tiny").SerializeToString() == clean.SerializeToString()
