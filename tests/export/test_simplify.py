"""What simplifying removes from a graph, and that it changes no bit of any answer."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export import convert
from export.runs import read_run
from export.simplify import simplify


def converted(run: Path, opset: int, monkeypatch: pytest.MonkeyPatch) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The run's model as tf2onnx leaves it, and simplified."""
    saved = convert.load_saved_model(read_run(run))
    simple = convert.to_onnx(saved, "tiny", opset)
    monkeypatch.setattr(convert, "simplify", lambda proto: proto)
    return convert.to_onnx(saved, "tiny", opset), simple


def answer(proto: onnx.ModelProto, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {proto.graph.input[0].name: images})[0])


def operators(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


@pytest.mark.parametrize(
    ("fixture", "opset", "left"),
    # ONNX's shape inference for opset 13 does not see through the shape that tf2onnx computes.
    [("grey_run", 17, set()), ("colour_run", 17, set()), ("colour_run", 13, {"Cast", "Shape", "Concat"})],
)
def test_scaling_and_flattening_take_one_step_each_and_not_a_bit_changes(
    fixture: str, opset: int, left: set[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = request.getfixturevalue(fixture)
    before, after = converted(run, opset, monkeypatch)
    assert {"Cast", "Mul", "Shape"} < set(operators(before))
    assert operators(after)[1] == "DequantizeLinear"
    assert {"Cast", "Mul", "Shape", "Concat"} & set(operators(after)) == left
    with np.load(run / "predictions" / "test.npz") as archive:
        images = archive["image"]
    for count in (1, 7, len(images)):
        np.testing.assert_array_equal(answer(after, images[:count]), answer(before, images[:count]))


def graph(*nodes: onnx.NodeProto, dtype: int = TensorProto.UINT8, **constants: Any) -> onnx.ModelProto:
    """A graph from `x` [batch, 2, 2] to `y`."""
    x = helper.make_tensor_value_info("x", dtype, ["batch", 2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None, None])
    weights = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    made = helper.make_graph(list(nodes), "made", [x], [y], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


CAST = helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)
TO_DOUBLE = helper.make_node("Cast", ["x"], ["f"], to=TensorProto.DOUBLE)
SCALE = helper.make_node("Mul", ["f", "scale"], ["s"])
SHIFT = helper.make_node("Add", ["s", "shift"], ["y"])
TURN = helper.make_node("Transpose", ["s"], ["y"], perm=[0, 2, 1])
ROOT = helper.make_node("Sqrt", ["s"], ["y"])

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 2, 2) * 20


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (graph(CAST, SCALE, SHIFT, scale=1 / 255, shift=0), ["DequantizeLinear"]),
        (graph(CAST, SCALE, SHIFT, scale=[1 / 255], shift=[0]), ["DequantizeLinear"]),
        (graph(CAST, SCALE, SHIFT, scale=1 / 127.5, shift=-1), ["Add", "DequantizeLinear"]),
        (graph(CAST, SCALE, TURN, scale=1 / 255), ["DequantizeLinear", "Transpose"]),
        (graph(CAST, SCALE, ROOT, scale=1 / 255), ["DequantizeLinear", "Sqrt"]),
    ],
)
def test_other_ways_to_scale(proto: onnx.ModelProto, expected: list[str]) -> None:
    simple = simplify(proto)
    assert sorted(operators(simple)) == expected
    # onnxruntime wants no order of the nodes; the checker does, and tidy puts them into one.
    np.testing.assert_array_equal(answer(simple, PIXELS), answer(proto, PIXELS))


@pytest.mark.parametrize(
    "proto",
    [
        graph(CAST, SCALE, ROOT, scale=-1),
        graph(CAST, SCALE, ROOT, scale=[0.1, 0.2]),
        graph(CAST, SCALE, helper.make_node("Mul", ["s", "f"], ["y"]), scale=0.1),
        graph(CAST, helper.make_node("Mul", ["f", "f"], ["y"])),
        graph(TO_DOUBLE, helper.make_node("Cast", ["f"], ["y"], to=TensorProto.FLOAT)),
        graph(helper.make_node("Mul", ["x", "scale"], ["y"]), dtype=TensorProto.FLOAT, scale=0.1),
    ],
)
def test_what_is_not_known_stays(proto: onnx.ModelProto) -> None:
    assert simplify(proto) == proto
