"""A model of any image size that computes next to nothing: which colour is the strongest. Written by hand.

It shows what a large image costs on its way, which the time of a large model would hide.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.onnxparts import FLOAT, UINT8, integer, message, node, number, text, value
from edge.contract import METADATA_KEY, Contract

LABELS = ("red", "green", "blue")
_IR_VERSION, _OPSET = 8, 17


def contract(side: int) -> Contract:
    """Of images [3, side, side], uint8."""
    return Contract("colour", "image", "uint8", (3, side, side), "CHW", "probabilities", LABELS, version=str(side))


def write_model(path: Path, side: int) -> None:
    """Write the ONNX file with its contract: the softmax of each channel's mean."""
    nodes = [
        node("Cast", ["image"], "pixels", integer("to", FLOAT)),
        node("GlobalAveragePool", ["pixels"], "means"),
        node("Flatten", ["means"], "logits"),
        node("Softmax", ["logits"], "probabilities"),
    ]
    graph = b"".join(message(1, each) for each in nodes) + text(2, "colour")
    graph += message(11, value("image", UINT8, ("batch", 3, side, side)))
    graph += message(12, value("probabilities", FLOAT, ("batch", 3)))
    metadata = text(1, METADATA_KEY) + text(2, contract(side).to_json())
    model = number(1, _IR_VERSION) + message(7, graph) + message(8, text(1, "") + number(2, _OPSET))
    path.write_bytes(model + message(14, metadata))


def images(side: int, count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Images of chance, uint8 [count, 3, side, side]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), np.uint8)
