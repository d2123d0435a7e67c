"""Bytes to requests, results to bytes: the wire format of requests and predictions."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge import jsontext, pixels
from edge.contract import MAX_LABELS, Contract
from edge.errors import BadDataError, BadRequestError
from edge.records import Encoded, Headers, Record

CONTENT_TYPE = "content-type"
REQUEST_ID = "request-id"
CREATED_NS = "created-ns"
TRUE_LABEL = "true-label"
TRACEPARENT = "traceparent"
RECEIVED_NS = "received-ns"
SENT_NS = "sent-ns"

REQUEST_TOPIC_CONFIG = {"compression.type": "uncompressed"}
"""How request topics are made: the broker then unpacks what clients send, and refuses decompression bombs."""

MAX_COPIED_BYTES = 16 * 1024
"""What the key, and all headers together, may hold that are copied from request to prediction."""

PREDICTION_LIMITS = jsontext.Limits(bytes=256 * 1024, depth=8, values=256 * 1024)
"""A prediction repeats the request's id, which may have MAX_COPIED_BYTES, and up to six times as many when escaped."""

_COPIED = frozenset({REQUEST_ID, CREATED_NS, TRUE_LABEL, TRACEPARENT})
_quoted = json.JSONEncoder(ensure_ascii=False).encode


class Request(NamedTuple):
    """One image to classify: `pixels` are the contract's bytes in C order, `headers` are those to copy."""

    record: Record
    id: str
    pixels: bytes
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
class Timing:
    """Of one batch: when it was read and answered, in nanoseconds since 1970, what passed in between, and its size."""

    received_ns: int
    sent_ns: int
    queue_ms: float
    infer_ms: float
    batch: int


def decode_request(record: Record, contract: Contract) -> Request:
    """The request in a record.

    Raises: BadRequestError saying what is wrong; sizes are checked before anything is allocated.
    """
    if record.flaw is not None:
        raise BadRequestError(record.flaw)
    if record.key is not None and len(record.key) > MAX_COPIED_BYTES:
        raise BadRequestError(f"the key has {len(record.key):,} bytes; at most {MAX_COPIED_BYTES:,} are copied")
    copied, content_type, request_id = _known_headers(record.headers)
    if record.value is None:
        raise BadRequestError("the record has no value; an image is needed")
    image = pixels.decode(record.value, content_type, contract)
    return Request(record, default_id(record) if request_id is None else request_id, image, copied)


def stacked(requests: Iterable[Request], contract: Contract) -> npt.NDArray[Any]:
    """The images of requests as one array [N, *contract.shape] of the contract's dtype; it cannot be written to."""
    joined = b"".join([request.pixels for request in requests])
    values = np.frombuffer(joined, np.dtype(contract.dtype).newbyteorder("<"))
    return values.astype(contract.dtype, copy=False).reshape(-1, *contract.shape)


def default_id(record: Record) -> str:
    """The id of a request that names none: topic, partition and offset."""
    return f"{record.partition.topic}-{record.partition.number}-{record.offset}"


class PredictionEncoder:
    """Writes the predictions of one model: what is the same for a model or a batch is made once for it.

    Each value is what `json.dumps` gives for it, without `ensure_ascii`.
    """

    def __init__(self, contract: Contract, sha256: str) -> None:
        self._classes = [
            f', "class": {number}, "label": {_quoted(label)}, "confidence": '
            for number, label in enumerate(contract.labels)
        ]
        self._model = f', "model": {_quoted(contract.name)}, "sha256": {_quoted(sha256)}'

    def encode(
        self, requests: Sequence[Request], classes: Iterable[int], confidences: Iterable[float], timing: Timing
    ) -> list[Encoded]:
        """The records that answer the requests of one batch; confidences are finite."""
        times = f'"queue_ms": {round(timing.queue_ms, 3)!r}, "infer_ms": {round(timing.infer_ms, 3)!r}'
        end = f'{self._model}, {times}, "batch": {timing.batch}}}'
        own = (
            (CONTENT_TYPE, pixels.JSON.encode()),
            (RECEIVED_NS, str(timing.received_ns).encode()),
            (SENT_NS, str(timing.sent_ns).encode()),
        )
        return [
            Encoded(
                request.record.key,
                f'{{"id": {_quoted(request.id)}{self._classes[number]}{round(confidence, 6)!r}{end}'.encode(),
                [*request.headers, *own],
            )
            for request, number, confidence in zip(requests, classes, confidences, strict=True)
        ]


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


def _known_headers(headers: Headers) -> tuple[list[tuple[str, bytes]], str, str | None]:
    """The headers to copy, the content type, and the request's id if it has one."""
    copied: list[tuple[str, bytes]] = []
    content_type, request_id = pixels.OCTETS, None
    seen: set[str] = set()
    size = 0
    for name, value in headers:
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
            size += len(name) + len(value)
            if name == REQUEST_ID:
                request_id = _utf8(value, REQUEST_ID)
        else:
            content_type = _utf8(value, CONTENT_TYPE)
    if size > MAX_COPIED_BYTES:
        raise BadRequestError(f"the headers to copy hold more than {MAX_COPIED_BYTES:,} bytes")
    return copied, content_type, request_id


def _utf8(value: bytes, name: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequestError(f"the header {name!r} is not UTF-8") from None
