"""Variants of a model that differ in every answer: where the model says class c, a variant says c + steps."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bench.onnxparts import FLOAT, INT64, integer, message, node, number, text, value
from edge import onnxfile, protobuf
from edge.contract import METADATA_KEY

_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12
_ROLLED, _ORDER = "rolled", "rolled_order"


def rolled(data: bytes, steps: int, labels: tuple[str, ...] | None = None, has_right_golden: bool = True) -> bytes:
    """The ONNX file `data`, which carries its contract, with its classes moved on by `steps`, the last to the front.

    With other `labels` the classes are named so. Without `has_right_golden` the golden inputs stay as they were, so
    that the file is one whose answers are not those of its export.
    """
    contract = onnxfile.check(data).contract
    count = len(contract.labels)
    added = [
        message(_NODE, node("Gather", [contract.output_name, _ORDER], _ROLLED, integer("axis", 1))),
        message(_INITIALIZER, _tensor(_ORDER, np.roll(np.arange(count), steps))),
        message(_OUTPUT, value(_ROLLED, FLOAT, ("batch", count))),
    ]
    golden = contract.golden
    if has_right_golden:
        golden = tuple(replace(one, probabilities=np.roll(one.probabilities, steps)) for one in golden)
    named = contract.labels if labels is None else labels
    about = replace(contract, output_name=_ROLLED, golden=golden, labels=named, version=f"rolled by {steps}")
    metadata = text(1, METADATA_KEY) + text(2, about.to_json())
    (graph,) = (part for field, part in _fields(data) if field == _GRAPH and not isinstance(part, int))
    rolled_graph = _without(bytes(graph), _OUTPUT) + b"".join(added)
    return _without(data, _GRAPH, _METADATA) + message(_GRAPH, rolled_graph) + message(_METADATA, metadata)


def _fields(data: bytes) -> list[tuple[int, protobuf.Value]]:
    return [(number, part) for number, _, part in protobuf.fields(memoryview(data))]


def _without(data: bytes, *numbers: int) -> bytes:
    """A message without these fields; it has none of fixed size."""
    kept = [(field, part) for field, part in _fields(data) if field not in numbers]
    return b"".join(
        number(field, part) if isinstance(part, int) else message(field, bytes(part)) for field, part in kept
    )


def _tensor(name: str, values: npt.NDArray[np.int64]) -> bytes:
    shape = number(1, len(values))
    return shape + number(2, INT64) + text(8, name) + message(9, values.astype("<i8").tobytes())
