"""The contract that a model carries: what goes in, what comes out, and which model it is."""

import base64
import binascii
import functools
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

from edge import jsontext
from edge.errors import BadModelError

METADATA_KEY = "contract"
"""The key of `metadata_props` in the ONNX file; its value is the JSON text of `Contract.to_json`."""

FORMAT = 1
DTYPES = ("uint8", "float32")
LAYOUTS = ("HWC", "CHW", "")
PRECISIONS = ("float32", "int8", "float16")
MAX_RANK = 4
MAX_INPUT_BYTES = 64 * 1024 * 1024
MAX_LABELS = 100_000
MAX_TEXT = 1000
"""Characters of a name or a label, which are on each prediction."""

LIMITS = jsontext.Limits(bytes=32 * 1024 * 1024, depth=8, values=2_000_000)
"""Of a contract's JSON: a few golden images, and a probability for each label of each."""

MIX_TOLERANCE = 0.01
"""How far from 1 the shares of all classes may sum up to: somebody may have written them by hand."""

T = TypeVar("T")


@dataclass(frozen=True)
class Golden:
    """One input with the probabilities that the model gave for it at export.

    `image` has the contract's shape and dtype; `probabilities` is float32, one per label, between 0 and 1.
    """

    image: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """What the model predicted for its test images: the share of each class, one per label, and the mean confidence."""

    class_mix: tuple[float, ...]
    confidence: float


@dataclass(frozen=True)
class Contract:
    """What the edge must know about a model; `shape` is that of one image, without the batch."""

    name: str
    input_name: str
    dtype: str
    shape: tuple[int, ...]
    layout: str
    output_name: str
    labels: tuple[str, ...]
    version: str = ""
    run: str = ""
    dataset: str = ""
    precision: str = "float32"
    test_accuracy: float | None = None
    created: str = ""
    golden: tuple[Golden, ...] = ()
    reference: Reference | None = None

    @functools.cached_property
    def input_bytes(self) -> int:
        """Size of one image in bytes, as it travels in C order."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def example(self) -> npt.NDArray[Any]:
        """An image of `shape` and `dtype` that the model has answered when it was loaded: golden, else blank."""
        return self.golden[0].image if self.golden else np.zeros(self.shape, self.dtype)

    def to_json(self) -> str:
        """The contract as JSON text, which `from_json` reads back to an equal contract."""
        golden = [
            {
                "image": base64.b64encode(item.image.tobytes()).decode("ascii"),
                "probabilities": [float(p) for p in item.probabilities],
            }
            for item in self.golden
        ]
        document = {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "run": self.run,
            "dataset": self.dataset,
            "precision": self.precision,
            "test_accuracy": self.test_accuracy,
            "created": self.created,
            "input": {
                "name": self.input_name,
                "dtype": self.dtype,
                "shape": list(self.shape),
                "layout": self.layout,
            },
            "output": {"name": self.output_name},
            "labels": list(self.labels),
            "golden": golden,
        }
        if self.reference is not None:
            mix = list(self.reference.class_mix)
            document["reference"] = {"class_mix": mix, "confidence": self.reference.confidence}
        return json.dumps(document, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Contract":
        """Read and check a contract.

        Raises: BadModelError, naming the field, for anything missing, of the wrong type, or contradictory.
        """
        try:
            document = jsontext.parse(text if isinstance(text, bytes) else text.encode(), LIMITS)
        except ValueError as error:
            raise BadModelError(f"the model's contract cannot be read: {error}") from None
        if not isinstance(document, dict):
            raise BadModelError("the model's contract must be a JSON object")
        if document.get("format", FORMAT) != FORMAT:
            raise BadModelError(
                f"the model's contract has format {reprlib.repr(document['format'])}; this edge reads format {FORMAT}: "
                "update the edge, or export the model again"
            )
        return _contract(document)


def _contract(document: Mapping[str, Any]) -> Contract:
    inputs = _field(document, "input", dict)
    dtype = _field(inputs, "dtype", str)
    if dtype not in DTYPES:
        raise BadModelError(
            f"the contract's input.dtype is {reprlib.repr(dtype)}; it must be one of {', '.join(DTYPES)}"
        )
    shape = _shape(_field(inputs, "shape", list), np.dtype(dtype).itemsize)
    layout = _field(inputs, "layout", str, "")
    if layout not in LAYOUTS:
        raise BadModelError(f"the contract's input.layout is {reprlib.repr(layout)}; it must be HWC, CHW or absent")
    precision = _field(document, "precision", str, "float32")
    if precision not in PRECISIONS:
        raise BadModelError(
            f"the contract's precision is {reprlib.repr(precision)}; it must be {', '.join(PRECISIONS)} or absent"
        )
    labels = _labels(_field(document, "labels", list))
    accuracy = document.get("test_accuracy")
    if accuracy is not None and not is_share(accuracy):
        raise BadModelError(
            f"the contract's test_accuracy is {reprlib.repr(accuracy)}; it must be from 0 to 1, or null"
        )
    return Contract(
        name=_field(document, "name", str),
        input_name=_field(inputs, "name", str),
        dtype=dtype,
        shape=shape,
        layout=layout,
        output_name=_field(_field(document, "output", dict), "name", str),
        labels=labels,
        version=_field(document, "version", str, ""),
        run=_field(document, "run", str, ""),
        dataset=_field(document, "dataset", str, ""),
        precision=precision,
        test_accuracy=None if accuracy is None else float(accuracy),
        created=_field(document, "created", str, ""),
        golden=tuple(_golden(g, dtype, shape, len(labels)) for g in _field(document, "golden", list, [])),
        reference=_reference(document, len(labels)),
    )


def _field(document: Mapping[str, Any], key: str, kind: type[T], default: T | None = None) -> T:
    value = document.get(key, default)
    if value is None:
        raise BadModelError(f"the model's contract has no {key!r}")
    if not isinstance(value, kind):
        raise BadModelError(f"the contract's {key!r} must be of JSON type {_json_name(kind)}")
    if default is None and not value:
        raise BadModelError(f"the contract's {key!r} is empty")
    if isinstance(value, str) and key != "image" and not (len(value) <= MAX_TEXT and value.isprintable()):
        raise BadModelError(f"the contract's {key!r} must have up to {MAX_TEXT:,} printable characters")
    return value


def _json_name(kind: type[Any]) -> str:
    return "string" if kind is str else "array" if kind is list else "object"


def is_share(value: object) -> TypeGuard[float]:
    """Whether this is a number from 0 to 1; NaN is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _shape(values: list[Any], itemsize: int) -> tuple[int, ...]:
    if len(values) > MAX_RANK or not all(type(v) is int and v > 0 for v in values):
        raise BadModelError(
            f"the contract's input.shape is {reprlib.repr(values)}; it must be up to {MAX_RANK} positive integers"
        )
    if math.prod(values) * itemsize > MAX_INPUT_BYTES:
        raise BadModelError(
            f"the contract's input.shape is {reprlib.repr(values)}; one image may have {MAX_INPUT_BYTES:,} bytes"
        )
    return tuple(values)


def _labels(values: list[Any]) -> tuple[str, ...]:
    if len(values) > MAX_LABELS or not all(isinstance(v, str) for v in values):
        raise BadModelError(f"the contract's labels must be strings, at most {MAX_LABELS:,} of them")
    if max(map(len, values)) > MAX_TEXT:
        raise BadModelError(f"the contract's labels must have up to {MAX_TEXT:,} characters each")
    if len(set(values)) != len(values):
        raise BadModelError("the contract's labels must differ from one another")
    return tuple(values)


def _reference(document: Mapping[str, Any], classes: int) -> Reference | None:
    if document.get("reference") is None:
        return None
    reference = _field(document, "reference", dict)
    mix, confidence = _field(reference, "class_mix", list), reference.get("confidence")
    if len(mix) != classes or not all(map(is_share, mix)) or abs(sum(mix) - 1) > MIX_TOLERANCE:
        raise BadModelError(
            f"the contract's reference.class_mix must be {classes} numbers, one for each label, that sum to 1"
        )
    if not is_share(confidence):
        raise BadModelError(
            f"the contract's reference.confidence is {reprlib.repr(confidence)}; it must be a number from 0 to 1"
        )
    return Reference(tuple(map(float, mix)), float(confidence))


def _golden(item: object, dtype: str, shape: tuple[int, ...], classes: int) -> Golden:
    if not isinstance(item, dict):
        raise BadModelError("each of the contract's golden inputs must be a JSON object")
    probabilities = _field(item, "probabilities", list)
    if len(probabilities) != classes or not all(map(is_share, probabilities)):
        raise BadModelError(f"a golden input must have {classes} probabilities from 0 to 1, one for each label")
    try:
        pixels = base64.b64decode(_field(item, "image", str), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadModelError(f"a golden input's image is not base64 ({error})") from None
    if len(pixels) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise BadModelError(
            f"a golden input's image has {len(pixels)} bytes, which contradicts shape {shape} of {dtype}"
        )
    return Golden(np.frombuffer(pixels, dtype).reshape(shape), np.asarray(probabilities, np.float32))
