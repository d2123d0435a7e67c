"""A converted model in fewer bits: weights and activations in int8, or everything in half precision."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from edge.errors import BadModelError
from export.tidy import tidy

CALIBRATION_IMAGES = 512
"""Images of the training set by whose activations int8's scales are chosen."""

FLOAT_CHANNELS = 16
"""A convolution of fewer input channels stays in float32: on LeNet's two (1 and 6 channels) int8 is two times slower,
on SmallCNN's of 32 and 64 two times faster, and they hold 2,566 of LeNet's 61,706 weights."""

_CALIBRATION_BATCH = 32
_DENSE = ["Gemm", "MatMul"]


def quantise(proto: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> onnx.ModelProto:
    """The model with int8 weights, one scale a channel, and uint8 activations, as QuantizeLinear and DequantizeLinear.

    `images` [N, *shape] are those that the activations' ranges are taken from. Weights have 7 bits: on x86 processors
    without VNNI the sum of two products of 8 bits saturates (onnxruntime's guide to quantisation, "reduce_range"),
    and then the same file would answer otherwise there. The softmax and its input stay in float32.

    Raises: BadModelError if the model has no layer to quantise, or one that onnxruntime cannot.
    """
    try:
        quantised = _quantised(proto, images)
    except Exception as error:  # onnxruntime's errors share no root of their own
        raise BadModelError(f"onnxruntime cannot quantise the model ({str(error).strip()[:300]})") from None
    if not any(node.op_type == "QuantizeLinear" for node in quantised.graph.node):
        raise BadModelError("the model has no layer that int8 would make smaller: export it with --precision float32")
    return _like(proto, quantised)


def halve(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with weights and activations in half precision; uint8 in and float32 out stay.

    The softmax stays in float32, too: half precision loses its tail.
    """
    half = onnx.ModelProto()
    half.CopyFrom(proto)
    blocked = [*DEFAULT_OP_BLOCK_LIST, "DequantizeLinear", "Softmax"]
    half = convert_float_to_float16(half, keep_io_types=True, op_block_list=blocked)
    _drop_rounding(half.graph)
    return _like(proto, half)


def _quantised(proto: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.onnx"), Path(folder, "target.onnx")
        _fuse(proto, source)
        model = onnx.load(source)
        kept = _keep_in_float(model.graph)
        # Says that the graph was fused before; otherwise onnxruntime logs that it should be.
        helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            _Reader(model.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *_DENSE],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            extra_options={"OpTypesToExcludeOutputQuantization": _DENSE},
        )
        return onnx.load(target)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Hands images to onnxruntime's calibration, some at a time."""

    def __init__(self, name: str, images: npt.NDArray[np.uint8]) -> None:
        self._batches: Iterator[dict[str, Any]] = (
            {name: images[start : start + _CALIBRATION_BATCH]} for start in range(0, len(images), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, None after the last one."""
        return next(self._batches, None)


def _fuse(proto: onnx.ModelProto, path: Path) -> None:
    """Write the graph as onnxruntime's basic optimisations leave it, which use ONNX's own operators alone."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _keep_in_float(graph: onnx.GraphProto) -> list[str]:
    """The names of the convolutions to be left alone, made so that onnxruntime leaves them alone, too."""
    weights = {weight.name: weight for weight in graph.initializer}
    kept = [
        node
        for node in graph.node
        if node.op_type == "Conv" and _channels(node, weights[node.input[1]]) < FLOAT_CHANNELS
    ]
    for convolution in kept:
        _fold_scale(graph, convolution, weights)
        _pool_first(graph, convolution)
    return [node.name for node in kept]


def _channels(convolution: onnx.NodeProto, weight: onnx.TensorProto) -> int:
    group = next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)
    return int(weight.dims[1] * group)


def _fold_scale(graph: onnx.GraphProto, convolution: onnx.NodeProto, weights: dict[str, Any]) -> None:
    """Let the weights scale the pixels: onnxruntime would quantise a convolution that follows DequantizeLinear."""
    pixels = next((node for node in graph.node if node.output[0] == convolution.input[0]), None)
    if pixels is None or pixels.op_type != "DequantizeLinear" or len(_users(graph, pixels.output[0])) != 1:
        return
    weight, scale = weights[convolution.input[1]], weights[pixels.input[1]]
    scaled = numpy_helper.to_array(weight) * numpy_helper.to_array(scale)
    weight.CopyFrom(numpy_helper.from_array(scaled, weight.name))
    for name in pixels.input[1:]:
        graph.initializer.remove(weights[name])
    pixels.CopyFrom(helper.make_node("Cast", pixels.input[:1], pixels.output, pixels.name, to=TensorProto.FLOAT))


def _pool_first(graph: onnx.GraphProto, convolution: onnx.NodeProto) -> None:
    """Turn Relu → MaxPool into MaxPool → Relu, which is the same.

    onnxruntime moves a later QuantizeLinear up to the Relu, and its MaxPool of bytes is ten times slower.
    """
    users = _users(graph, convolution.output[0])
    pools = _users(graph, users[0].output[0]) if [node.op_type for node in users] == ["Relu"] else []
    if [node.op_type for node in pools] != ["MaxPool"] or len(pools[0].output) != 1:
        return
    relu, pool = users[0], pools[0]
    relu.op_type, pool.op_type = pool.op_type, relu.op_type
    attributes = [onnx.AttributeProto.FromString(attribute.SerializeToString()) for attribute in pool.attribute]
    del pool.attribute[:]
    relu.attribute.extend(attributes)


def _users(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if tensor in node.input]


def _drop_rounding(graph: onnx.GraphProto) -> None:
    """Take out the two casts, to half precision and back, that the converter puts behind a softmax."""
    makers = {node.output[0]: node for node in graph.node}
    for value in graph.output:
        back = makers[value.name]
        there = makers.get(back.input[0], back)
        softmax = makers.get(there.input[0], there)
        if (softmax.op_type, there.op_type, back.op_type) == ("Softmax", "Cast", "Cast"):
            softmax.output[0] = value.name
            graph.node.remove(there)
            graph.node.remove(back)


def _like(proto: onnx.ModelProto, changed: onnx.ModelProto) -> onnx.ModelProto:
    """The changed graph under the first one's opset, producer and name, tidied."""
    like = onnx.ModelProto()
    like.CopyFrom(proto)
    like.graph.CopyFrom(changed.graph)
    return tidy(like, proto.graph.name)
