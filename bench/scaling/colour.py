"""A model of any image size that computes next to nothing: which colour is the strongest. Written by hand.

It shows what a large image costs on its way, which the time of a large model would hide.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.contract import METADATA_KEY, Contract

LABELS = ("red", "green", "blue")
_FLOAT, _UINT8 = 1, 2
_IR_VERSION, _OPSET = 8, 17
_BYTES = 2  # the wire type of Protocol Buffers


def contract(side: int) -> Contract:
    """Of images [3, side, side], uint8."""
    return Contract("colour", "image", "uint8", (3, side, side), "CHW", "probabilities", LABELS, version=str(side))


def write_model(path: Path, side: int) -> None:
    """Write the ONNX file with its contract: the softmax of each channel's mean."""
    nodes = [
        _node("Cast", "image", "pixels", _message(5, _text(1, "to") + _number(3, _FLOAT) + _number(20, 2))),
        _node("GlobalAveragePool", "pixels", "means"),
        _node("Flatten", "means", "logits"),
        _node("Softmax", "logits", "probabilities"),
    ]
    graph = b"".join(_message(1, node) for node in nodes) + _text(2, "colour")
    graph += _message(11, _value("image", _UINT8, ("batch", 3, side, side)))
    graph += _message(12, _value("probabilities", _FLOAT, ("batch", 3)))
    metadata = _text(1, METADATA_KEY) + _text(2, contract(side).to_json())
    model = _number(1, _IR_VERSION) + _message(7, graph) + _message(8, _text(1, "") + _number(2, _OPSET))
    path.write_bytes(model + _message(14, metadata))


def images(side: int, count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Images of chance, uint8 [count, 3, side, side]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), np.uint8)


# The numbers of fields below, and above, are those of onnx.proto3.
def _node(operator: str, source: str, target: str, attribute: bytes = b"") -> bytes:
    return _text(1, source) + _text(2, target) + _text(4, operator) + attribute


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    dimensions = [_text(2, size) if isinstance(size, str) else _number(1, size) for size in shape]
    tensor = _number(1, kind) + _message(2, b"".join(_message(1, one) for one in dimensions))
    return _text(1, name) + _message(2, _message(1, tensor))


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
