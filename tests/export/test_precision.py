"""`python -m export --precision`: smaller models of ONNX's own operators, which the gate judges by their accuracy."""

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
import onnxruntime
import pytest
from click.testing import Result
from onnx import TensorProto, helper, numpy_helper

from edge.errors import BadModelError
from edge.model import load_model
from export import parity
from export.precision import halve, quantise
from export.samples import Samples

Arrays = dict[str, npt.NDArray[Any]]
Export = Callable[..., Result]

REDUCED = ("int8", "float16")
WEIGHTS = {"int8": TensorProto.INT8, "float16": TensorProto.FLOAT16}


@pytest.fixture(scope="module")
def taught_run(grey_run: Path, recorded: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grey run, labelled by its own model, which is therefore always right."""
    run = tmp_path_factory.mktemp("taught") / grey_run.name
    run.mkdir()
    for path in grey_run.iterdir():
        (run / path.name).symlink_to(path)
    (run / "predictions").unlink()
    (run / "predictions").mkdir()
    (run / "predictions" / "train.npz").symlink_to(grey_run / "predictions" / "train.npz")
    np.savez(run / "predictions" / "test.npz", **recorded | {"label": recorded["probabilities"].argmax(1)})
    return run


@pytest.fixture(scope="module")
def exported(export: Export, taught_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The taught run's model by precision."""
    folder = tmp_path_factory.mktemp("exported")
    models = {precision: folder / f"{precision}.onnx" for precision in ("float32", *REDUCED)}
    for precision, path in models.items():
        # An untrained model is hardly sure of anything, so that a rounding turns many a class.
        allowed = [] if precision == "float32" else ["--max-accuracy-loss", 0.1]
        result = export(taught_run, "-o", path, "--precision", precision, *allowed)
        assert result.exit_code == 0, result.output
    return models


@pytest.mark.parametrize("precision", REDUCED)
def test_file_is_smaller_plain_onnx_and_served_right(
    precision: str, exported: dict[str, Path], recorded: Arrays
) -> None:
    path = exported[precision]
    assert path.stat().st_size < 0.7 * exported["float32"].stat().st_size
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert {node.domain for node in proto.graph.node} == {""}
    largest = max(proto.graph.initializer, key=lambda weight: int(np.prod(weight.dims)))
    assert largest.data_type == WEIGHTS[precision]

    model = load_model(path)
    assert model.contract.precision == precision
    assert model.contract.dtype == "uint8"
    found = model.infer(recorded["image"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert 0 < np.abs(found - recorded["probabilities"]).max() < 0.2
    for item in model.contract.golden:
        np.testing.assert_array_equal(item.probabilities, model.infer(item.image[np.newaxis])[0])


@pytest.mark.parametrize("precision", REDUCED)
def test_contract_parity_file_and_evaluation_tell_the_precision_and_its_own_accuracy(
    export: Export, precision: str, exported: dict[str, Path], taught_run: Path, recorded: Arrays
) -> None:
    path = exported[precision]
    model = load_model(path)
    expected = recorded["probabilities"].argmax(1)
    accuracy = float((model.infer(recorded["image"]).argmax(1) == expected).mean())
    report = json.loads(path.with_name(f"{precision}.parity.json").read_text())
    assert (report["precision"], report["passed"]) == (precision, True)
    assert (report["tolerance"], report["max_accuracy_loss"]) == (None, 0.1)
    assert report["test_accuracy"] == model.contract.test_accuracy == accuracy
    for batch in report["batches"]:
        assert batch["accuracy_loss"] == pytest.approx(1 - batch["accuracy"])
        assert batch["agreement"] == batch["accuracy"]
    result = export("evaluate", path, "--data", taught_run / "predictions" / "test.npz")
    assert result.stdout.splitlines()[-2] == f"precision {precision}"
    assert result.stdout.splitlines()[-1].startswith(f"accuracy {accuracy:.4f}: ")


def test_ruined_calibration_is_refused_and_nothing_written(export: Export, copied_run: Path, tmp_path: Path) -> None:
    # Black images: each activation's range is that of its bias alone.
    training = copied_run / "predictions" / "train.npz"
    np.savez(training, image=np.zeros((64, 28, 28, 1), np.uint8), label=np.zeros(64, np.int64))
    test = copied_run / "predictions" / "test.npz"
    with np.load(test) as archive:
        content = dict(archive)
    np.savez(test, **content | {"label": content["probabilities"].argmax(1)})
    output = tmp_path / "model.onnx"
    result = export(copied_run, "-o", output, "--precision", "int8")
    assert result.exit_code == 78
    assert "calibrating on 64 training images" in result.stderr
    error = result.stderr.splitlines()[-1]
    assert error.startswith("Error: the int8 model loses ")
    assert "percentage points of accuracy on the test images, more than the 0.50 allowed, so " in error
    assert error.endswith("was not written; export it with --precision float32")
    assert not output.exists()
    assert not output.with_name("model.parity.json").exists()


def test_run_without_training_images_cannot_be_calibrated(export: Export, copied_run: Path, tmp_path: Path) -> None:
    training = copied_run / "predictions" / "train.npz"
    training.unlink()
    result = export(copied_run, "-o", tmp_path / "model.onnx", "--precision", "int8")
    assert result.exit_code == 65
    assert result.stderr.splitlines()[-1] == f"Error: there is no {training}"


@pytest.mark.parametrize(
    "options", [("--precision", "int8", "--tolerance", "0.1"), ("--max-accuracy-loss", "0.1"), ("--precision", "int4")]
)
def test_options_that_contradict_one_another(export: Export, grey_run: Path, options: tuple[str, ...]) -> None:
    result = export(grey_run, *options)
    assert result.exit_code == 2
    assert "contradicts --precision" in result.stderr or "'int4' is not one of" in result.stderr


def network(channels: int = 16, seed: int = 3) -> onnx.ModelProto:
    """Scaled pixels → Conv of one channel → Relu → MaxPool → Conv of `channels` → Relu → Gemm → Softmax."""
    random = np.random.default_rng(seed)
    shapes = {"a": (channels, 1, 3, 3), "b": (8, channels, 3, 3), "c": (32, 5)}
    weights: dict[str, Any] = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"scale": np.float32(1 / 255), "zero": np.uint8(0), "bias": np.full(5, 0.25, np.float32)}
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "scale", "zero"], ["pixels"]),
        helper.make_node("Conv", ["pixels", "a"], ["1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["1"], ["2"]),
        helper.make_node("MaxPool", ["2"], ["3"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["3", "b"], ["4"], "second"),
        helper.make_node("Relu", ["4"], ["5"]),
        helper.make_node("Flatten", ["5"], ["6"]),
        helper.make_node("Gemm", ["6", "c", "bias"], ["7"]),
        helper.make_node("Softmax", ["7"], ["probabilities"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 1, 8, 8])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 5])
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "network", [image], [probabilities], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def images(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


def answer(proto: onnx.ModelProto, optimisation: str = "ORT_ENABLE_ALL") -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, optimisation)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images(50)})[0])


def test_first_convolution_stays_in_float_and_the_others_take_a_scale_a_channel() -> None:
    proto = network()
    int8 = quantise(proto, images(64))
    by_name = {weight.name: weight for weight in int8.graph.initializer}
    makers = {node.output[0]: node for node in int8.graph.node}
    first, second = (node for node in int8.graph.node if node.op_type == "Conv")
    assert by_name[first.input[1]].data_type == TensorProto.FLOAT
    weights = makers[second.input[1]]
    assert weights.op_type == "DequantizeLinear"
    assert by_name[weights.input[0]].data_type == TensorProto.INT8
    assert by_name[weights.input[1]].dims == [8]
    # 7 bits: two products with bytes never exceed the 16 bits that some processors add them in.
    assert np.abs(numpy_helper.to_array(by_name[weights.input[0]]).astype(int)).max() <= 64
    assert "QuantizeLinear" not in {node.op_type for node in makers.values() if "image" in node.input}
    np.testing.assert_allclose(answer(int8), answer(proto), atol=0.05)
    # What onnxruntime makes of it on this processor is what the file says.
    np.testing.assert_allclose(answer(int8), answer(int8, "ORT_DISABLE_ALL"), atol=0.02)


def test_convolution_that_stays_in_float_computes_the_same_in_another_order() -> None:
    int8 = quantise(network(channels=8), images(64))
    operators = [node.op_type for node in int8.graph.node]
    assert operators[:6] == ["Cast", "Conv", "MaxPool", "Relu", "Conv", "Relu"]
    assert operators.count("QuantizeLinear") == 1
    np.testing.assert_allclose(answer(int8), answer(network(channels=8)), atol=0.05)


def test_half_precision_keeps_pixels_and_softmax() -> None:
    half = halve(network())
    onnx.checker.check_model(half, full_check=True)
    operators = [node.op_type for node in half.graph.node]
    assert operators[:3] == ["DequantizeLinear", "Cast", "Conv"]
    assert operators[-2:] == ["Cast", "Softmax"]
    np.testing.assert_allclose(answer(half), answer(network()), atol=0.01)


def test_model_without_a_layer_to_quantise_is_refused() -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Softmax", ["f"], ["probabilities"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 4])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "bare", [image], [probabilities])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BadModelError, match="no layer that int8 would make smaller"):
        quantise(proto, np.zeros((2, 4), np.uint8))


def test_images_that_the_model_does_not_take_are_an_error_in_one_sentence() -> None:
    with pytest.raises(BadModelError, match=r"onnxruntime cannot quantise the model \(.*Got invalid dimensions"):
        quantise(network(), images(2)[..., :5])


def test_same_model_gives_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib\nfrom export.precision import quantise\n"
        "from tests.export.test_precision import images, network\n"
        "print(hashlib.sha256(quantise(network(), images(64)).SerializeToString()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "4711")
    }
    assert len(found) == 1


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (1, True), (2, False)])
def test_accuracy_may_fall_as_far_as_allowed_and_no_image_further(wrong: int, passed: bool) -> None:
    count = 200
    right = np.tile(np.array([0.8, 0.2], np.float32), (count, 1))
    worse = right.copy()
    worse[:wrong] = [0.2, 0.8]
    samples = Samples(np.arange(count), np.zeros(count, np.int64))
    verdict = parity.compare(lambda i: right[i], lambda i: worse[i], samples, 0, 0.005)
    assert verdict.passed is passed
    assert verdict.accuracy_loss == wrong / count


def test_output_that_is_not_finite_fails_though_no_accuracy_is_lost() -> None:
    good = np.array([[0.8, 0.2]], np.float32)
    bad = np.array([[np.inf, 0.2]], np.float32)
    samples = Samples(np.arange(1), np.zeros(1, np.int64))
    verdict = parity.compare(lambda i: good[i], lambda i: bad[i], samples, 0, 0.005)
    assert verdict.accuracy_loss == 0
    assert not verdict.passed
