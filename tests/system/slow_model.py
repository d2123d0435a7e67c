"""A model of Fashion-MNIST's shape that is real and slow: it multiplies large matrices, to no effect on its answers."""

import numpy as np
import numpy.typing as npt

from bench.onnxparts import FLOAT, INT64, UINT8, integer, message, node, number, text, value
from edge.contract import METADATA_KEY, Contract

CONTRACT = Contract("slow", "image", "uint8", (28, 28, 1), "HWC", "probabilities", tuple("abcdefghij"))
_IR_VERSION, _OPSET = 8, 17
_SIDE = 1024


def slow_model(at_load: int = 0, at_inference: int = 0) -> bytes:
    """The ONNX file, with its contract: so many products of matrices [1024, 1024], each some 50 ms on one core."""
    nodes = [
        node("Cast", ["image"], "pixels", integer("to", FLOAT)),
        node("Flatten", ["pixels"], "flat"),
        node("MatMul", ["flat", "weights"], "scores"),
        # onnxruntime computes what no input changes when it loads the model.
        node("ConstantOfShape", ["square"], "loaded_0"),
        *_products("loaded", at_load),
        node("ReduceMax", ["scores"], "some"),
        node("Mul", ["some", "zero"], "nothing"),
        node("Add", ["nothing", f"loaded_{at_load}"], "inferred_0"),
        *_products("inferred", at_inference),
        node("ReduceMax", [f"inferred_{at_inference}"], "delay"),
        node("Reshape", ["delay", "cell"], "delay_cell"),
        node("Add", ["scores", "delay_cell"], "logits"),
        node("Softmax", ["logits"], "probabilities"),
    ]
    constants = [
        _tensor("weights", FLOAT, np.zeros((784, 10), "<f4")),
        _tensor("zero", FLOAT, np.zeros((1, 1), "<f4")),
        _tensor("square", INT64, np.array([_SIDE, _SIDE], "<i8")),
        _tensor("cell", INT64, np.array([1, 1], "<i8")),
    ]
    graph = b"".join(message(1, each) for each in nodes) + text(2, "slow")
    graph += b"".join(message(5, each) for each in constants)
    graph += message(11, value("image", UINT8, ("batch", 28, 28, 1)))
    graph += message(12, value("probabilities", FLOAT, ("batch", 10)))
    metadata = text(1, METADATA_KEY) + text(2, CONTRACT.to_json())
    model = number(1, _IR_VERSION) + message(7, graph) + message(8, text(1, "") + number(2, _OPSET))
    return model + message(14, metadata)


def _products(name: str, count: int) -> list[bytes]:
    return [node("MatMul", [f"{name}_{step}", f"{name}_{step}"], f"{name}_{step + 1}") for step in range(count)]


def _tensor(name: str, kind: int, values: npt.NDArray[np.generic]) -> bytes:
    shape = b"".join(number(1, size) for size in values.shape)
    return shape + number(2, kind) + text(8, name) + message(9, values.tobytes())
