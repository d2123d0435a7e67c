"""What tf2onnx makes the device compute, rewritten to the same values in fewer steps of ONNX's own operators."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

MOVES = ("Reshape", "Transpose")
"""Operators that move elements about and leave their values as they are."""


def simplify(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same function, to the last bit, for any number of images.

    Of LeNet's time a third went into scaling the pixels: onnxruntime multiplies by a scalar at 10 ns an element, and
    dequantises at a fraction of that. What is not found in the expected form stays as it is.
    """
    simple = onnx.ModelProto()
    simple.CopyFrom(proto)
    _fix_shapes(simple)
    _scale_by_dequantising(simple.graph)
    return simple


def _scale_by_dequantising(graph: onnx.GraphProto) -> None:
    """Turn pixels → Cast → Mul by a scalar [→ Add 0], with moves between them, into pixels → moves → DequantizeLinear.

    ONNX defines DequantizeLinear as (x - zero point) * scale, which is the very same product.
    """
    chain = _chain(graph)
    steps = [node for node in chain if node.op_type not in MOVES][:3]
    if [node.op_type for node in steps[:2]] != ["Cast", "Mul"] or steps[0].attribute[0].i != TensorProto.FLOAT:
        return
    scale = _scalar(graph, steps[1])
    if scale is None or not scale > 0:
        return
    replaced = steps[:2] + [node for node in steps[2:] if node.op_type == "Add" and _scalar(graph, node) == 0]
    last = chain.index(replaced[-1])
    # Moving bytes is cheaper than moving floats, and a quantised convolution takes the bytes as they are.
    end = next((i for i, node in enumerate(chain) if i > last and node.op_type not in MOVES), len(chain))
    _dequantise(
        graph, [node for node in chain[:end] if node not in replaced], replaced, chain[end - 1].output[0], scale
    )


def _chain(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes through which the pixels go, up to the first fork or the first that does more than prepare them."""
    if graph.input[0].type.tensor_type.elem_type != TensorProto.UINT8:
        return []
    tensor, ends = graph.input[0].name, {value.name for value in graph.output}
    chain: list[onnx.NodeProto] = []
    while tensor not in ends:
        users = [node for node in graph.node if tensor in node.input]
        if len(users) != 1 or users[0].op_type not in (*MOVES, "Cast", "Mul", "Add"):
            break
        chain.append(users[0])
        tensor = users[0].output[0]
    return chain


def _scalar(graph: onnx.GraphProto, node: onnx.NodeProto) -> npt.NDArray[Any] | None:
    """The constant of one element that the node applies, None if there is none."""
    constants = [numpy_helper.to_array(weight) for weight in graph.initializer if weight.name in node.input]
    if len(constants) == 1 and constants[0].size == 1 and constants[0].ndim <= 1:
        return np.asarray(constants[0]).reshape(())
    return None


def _dequantise(
    graph: onnx.GraphProto,
    moves: list[onnx.NodeProto],
    replaced: list[onnx.NodeProto],
    result: str,
    scale: npt.NDArray[Any],
) -> None:
    tensor = graph.input[0].name
    for number, move in enumerate(moves):
        move.input[0], move.output[0] = tensor, f"moved_{number}"
        tensor = move.output[0]
    for node in replaced:
        graph.node.remove(node)
    for name, value in (("pixel_scale", scale), ("pixel_zero", np.zeros((), np.uint8))):
        graph.initializer.append(numpy_helper.from_array(value, name))
    graph.node.append(helper.make_node("DequantizeLinear", [tensor, "pixel_scale", "pixel_zero"], [result]))


def _fix_shapes(proto: onnx.ModelProto) -> None:
    """Give each Reshape whose result has one unknown dimension a constant shape, with -1 for that one.

    tf2onnx has such a shape computed at each inference, by half a dozen nodes.
    """
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    known = [value for value in inferred.graph.value_info if value.type.tensor_type.HasField("shape")]
    shapes = {value.name: value.type.tensor_type.shape.dim for value in known}
    constants = {weight.name for weight in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants or node.output[0] not in shapes:
            continue
        sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in shapes[node.output[0]]]
        if sizes.count(-1) <= 1 and 0 not in sizes:
            node.input[1] = f"{node.output[0]}_shape"
            proto.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), node.input[1]))
