"""Bytes to requests, results to bytes: the wire format of requests and predictions."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge import jsontext, npy
from edge.contract import MAX_LABELS, Contract
from edge.errors import BadDataError, BadRequestError
from edge.records import Headers, Record

CONTENT_TYPE = "content-type"
REQUEST_ID = "request-id"
CREATED_NS = "created-ns"
TRUE_LABEL = "true-label"
RECEIVED_NS = "received-ns"
SENT_NS = "sent-ns"
OCTETS, NPY, JSON = "application/octet-stream", "application/x-npy", "application/json"

REQUEST_TOPIC_CONFIG = {"compression.type": "uncompressed"}
"""How request topics are made: the broker then unpacks what clients send, and refuses decompression bombs."""

MAX_COPIED_BYTES = 16 * 1024
"""What the key, and all headers together, may hold that are copied from request to prediction."""

PREDICTION_LIMITS = jsontext.Limits(bytes=256 * 1024, depth=8, values=256 * 1024)
"""A prediction repeats the request's id, which may have MAX_COPIED_BYTES, and up to six times as many when escaped."""

_COPIED = frozenset({REQUEST_ID, CREATED_NS, TRUE_LABEL, "traceparent"})
_JSON_BYTES_PER_NUMBER = 32
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Request:
    """One image to classify: `image` has the contract's shape and dtype, `headers` are those to copy."""

    id: str
    image: npt.NDArray[Any]
    headers: Headers


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one request; `queue_ms` runs from poll to inference, `infer_ms` is the whole batch's."""

    id: str
    class_index: int
    label: str
    confidence: float
    model: str
    sha256: str
    queue_ms: float
    infer_ms: float
    batch: int

    def is_right(self, true_label: str) -> bool:
        """Whether `true_label` is this prediction's label, or, where labels are no numbers, its class number."""
        return true_label == self.label or (not self.label.isdecimal() and true_label == str(self.class_index))


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record to write, but for its topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def decode_request(record: Record, contract: Contract) -> Request:
    """The request in a record.

    Raises: BadRequestError saying what is wrong; sizes are checked before anything is allocated.
    """
    if record.flaw is not None:
        raise BadRequestError(record.flaw)
    copied, content_type = _known_headers(record)
    if record.key is not None and len(record.key) > MAX_COPIED_BYTES:
        raise BadRequestError(f"the key has {len(record.key):,} bytes; at most {MAX_COPIED_BYTES:,} are copied")
    if record.value is None:
        raise BadRequestError("the record has no value; an image is needed")
    decode = _DECODERS.get(content_type)
    if decode is None:
        raise BadRequestError(f"the content-type {content_type[:100]!r} is unknown; use one of {', '.join(_DECODERS)}")
    image = decode(record.value, contract)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise BadRequestError("the image has pixels that are not finite numbers")
    request_id = dict(copied).get(REQUEST_ID)
    return Request(default_id(record) if request_id is None else _utf8(request_id, REQUEST_ID), image, copied)


def default_id(record: Record) -> str:
    """The id of a request that names none: topic, partition and offset."""
    return f"{record.partition.topic}-{record.partition.number}-{record.offset}"


def encode_prediction(
    prediction: Prediction, key: bytes | None, copied: Headers, received_ns: int, sent_ns: int
) -> Encoded:
    """The record of a prediction; the two times are the classifier's wall clock, in nanoseconds since 1970."""
    document = {
        "id": prediction.id,
        "class": prediction.class_index,
        "label": prediction.label,
        "confidence": round(prediction.confidence, 6),
        "model": prediction.model,
        "sha256": prediction.sha256,
        "queue_ms": round(prediction.queue_ms, 3),
        "infer_ms": round(prediction.infer_ms, 3),
        "batch": prediction.batch,
    }
    headers = [
        *copied,
        (CONTENT_TYPE, JSON.encode()),
        (RECEIVED_NS, str(received_ns).encode()),
        (SENT_NS, str(sent_ns).encode()),
    ]
    return Encoded(key, json.dumps(document, ensure_ascii=False, allow_nan=False).encode(), headers)


def decode_prediction(record: Record) -> Prediction:
    """The prediction in a record.

    Raises: BadDataError when the value is not one of `encode_prediction`'s.
    """
    try:
        document = jsontext.parse(record.value or b"", PREDICTION_LIMITS)
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")
        return Prediction(
            id=_text(document, "id"),
            class_index=_integer(document, "class"),
            label=_text(document, "label"),
            confidence=_number(document, "confidence"),
            model=_text(document, "model"),
            sha256=_text(document, "sha256"),
            queue_ms=_number(document, "queue_ms"),
            infer_ms=_number(document, "infer_ms"),
            batch=_integer(document, "batch"),
        )
    except ValueError as error:
        raise BadDataError(f"{default_id(record)} is no prediction: {error}") from None


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise ValueError(f"its {key!r} is missing or no text")
    return value


def _number(document: dict[str, Any], key: str) -> float:
    value = document.get(key)
    # Compared as it is: a long integer does not fit into a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"its {key!r} is missing or no number")
    return float(value)


def _integer(document: dict[str, Any], key: str) -> int:
    value = document.get(key)
    if type(value) is not int or not 0 <= value <= MAX_LABELS:
        raise ValueError(f"its {key!r} is missing or no integer from 0 to {MAX_LABELS:,}")
    return value


def header(record: Record, name: str) -> str | None:
    """The header's text, or None when it is absent or not UTF-8; the last one wins, as in Kafka Connect."""
    for key, value in reversed(record.headers):
        if key == name and value is not None:
            return value.decode("utf-8", "replace")
    return None


def _known_headers(record: Record) -> tuple[list[tuple[str, bytes]], str]:
    copied: list[tuple[str, bytes]] = []
    content_type = OCTETS
    seen: set[str] = set()
    for name, value in record.headers:
        is_copied = name in _COPIED or name.startswith("ce_")
        if not is_copied and name != CONTENT_TYPE:
            continue
        if name in seen:
            raise BadRequestError(f"the header {name[:100]!r} is repeated")
        if not value:
            raise BadRequestError(f"the header {name[:100]!r} has no value")
        seen.add(name)
        if is_copied:
            copied.append((name, value))
        else:
            content_type = _utf8(value, CONTENT_TYPE)
    if sum(len(name) + len(value) for name, value in copied) > MAX_COPIED_BYTES:
        raise BadRequestError(f"the headers to copy hold more than {MAX_COPIED_BYTES:,} bytes")
    return copied, content_type


def _utf8(value: bytes, name: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequestError(f"the header {name!r} is not UTF-8") from None


def _from_octets(value: bytes, contract: Contract) -> npt.NDArray[Any]:
    if len(value) != contract.input_bytes:
        raise BadRequestError(
            f"the value has {len(value)} bytes; an image of shape {contract.shape} of {contract.dtype} "
            f"has {contract.input_bytes}"
        )
    return np.frombuffer(value, np.dtype(contract.dtype).newbyteorder("<")).reshape(contract.shape)


def _from_npy(value: bytes, contract: Contract) -> npt.NDArray[Any]:
    image = npy.parse(value, contract.dtype, len(contract.shape) + 2)
    _check_shape(image.shape, contract)
    return image.reshape(contract.shape)


def _from_json(value: bytes, contract: Contract) -> npt.NDArray[Any]:
    pixels, rank = math.prod(contract.shape), len(contract.shape) + 2
    limits = jsontext.Limits(64 + _JSON_BYTES_PER_NUMBER * pixels, rank, (rank + 1) * pixels + rank)
    try:
        document = jsontext.parse(value, limits)
    except ValueError as error:
        raise BadRequestError(f"the value cannot be read as the JSON of an image: {error}") from None
    shape = _nested_shape(document, rank)
    _check_shape(shape, contract)
    numbers = _flatten(document, shape)
    accepted = _is_pixel if contract.dtype == "uint8" else _is_float
    if not all(accepted(number) for number in numbers):
        wanted = "integers from 0 to 255" if contract.dtype == "uint8" else "numbers of float32"
        raise BadRequestError(f"the JSON lists must hold {wanted}")
    return np.array(numbers, contract.dtype).reshape(contract.shape)


def _nested_shape(document: object, max_rank: int) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(document, list) and len(shape) <= max_rank:
        shape.append(len(document))
        document = document[0] if document else None
    return tuple(shape)


def _flatten(document: Any, shape: tuple[int, ...]) -> list[Any]:
    items = [document]
    for size in shape:
        if not all(isinstance(item, list) and len(item) == size for item in items):
            raise BadRequestError("the JSON lists differ in length or depth")
        items = [inner for item in items for inner in item]
    return items


def _is_pixel(number: object) -> bool:
    return type(number) is int and 0 <= number <= 255


def _is_float(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= _FLOAT32_MAX


def _check_shape(shape: tuple[int, ...], contract: Contract) -> None:
    own = contract.shape
    accepted = {own, own[:-1] if own[-1] == 1 else (*own, 1)}
    if shape not in accepted and not (shape[:1] == (1,) and shape[1:] in accepted):
        raise BadRequestError(f"the image has shape {shape}; the model takes {own}")


_DECODERS: dict[str, Callable[[bytes, Contract], npt.NDArray[Any]]] = {
    OCTETS: _from_octets,
    NPY: _from_npy,
    JSON: _from_json,
}
