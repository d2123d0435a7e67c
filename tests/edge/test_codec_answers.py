"""Predictions and dead letters on the wire: what is written, and read back."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.codec import (
    Prediction,
    PredictionEncoder,
    Request,
    Timing,
    decode_prediction,
)
from edge.contract import Contract
from edge.errors import BadDataError, BadRequestError
from edge.letter import encode_dead_letter
from edge.records import Headers, Partition, Record
from tests.edge.predictions import dumped

CONTRACT = Contract("lenet", "image", "uint8", (28, 28, 1), "HWC", "probabilities", tuple("abcdefghij"))
PIXELS = np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)


def record(value: bytes | None, headers: Headers = (), key: bytes | None = None) -> Record:
    return Record(Partition("requests", 3), 17, 0, key, value, headers)


PREDICTION = Prediction("r1", 9, "Ankle boot", 0.993, "lenet", "0123456789ab", 0.8, 0.1, 1)


def request_of(name: str, key: bytes | None = None, headers: Headers = ()) -> Request:
    return Request(record(PIXELS.tobytes(), key=key), name, PIXELS.tobytes(), headers)


def test_a_prediction_is_read_back_as_it_was() -> None:
    labels = dataclasses.replace(CONTRACT, labels=(*"abcdefghi", "Ankle boot"))
    encoder = PredictionEncoder(labels, "0123456789ab")
    request = request_of("r1", b"camera", [("true-label", b"9")])
    (encoded,) = encoder.encode([request], [9], [0.993], Timing(1, 2, 0.8, 0.1, 1))
    assert encoded.key == b"camera"
    assert list(encoded.headers) == [
        ("true-label", b"9"),
        ("content-type", b"application/json"),
        ("received-ns", b"1"),
        ("sent-ns", b"2"),
    ]
    assert json.loads(encoded.value or b"") == {
        "id": "r1",
        "class": 9,
        "label": "Ankle boot",
        "confidence": 0.993,
        "model": "lenet",
        "sha256": "0123456789ab",
        "queue_ms": 0.8,
        "infer_ms": 0.1,
        "batch": 1,
    }
    assert decode_prediction(record(encoded.value, encoded.headers)) == PREDICTION


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/\0\n\x7f\u2028é😀'), max_size=20)
TIME = st.floats(0, 1e9)


@given(
    st.lists(st.tuples(TEXT, st.integers(0, 2), st.floats(0, 1, width=32) | TIME), min_size=1, max_size=5),
    st.tuples(TEXT, TEXT, TEXT),
    TEXT,
    TEXT,
    st.builds(Timing, st.just(1), st.just(2), TIME, TIME, st.integers(1, 4096)),
)
def test_each_of_a_batch_is_written_as_json_dumps_would(
    answers: list[tuple[str, int, float]], labels: tuple[str, ...], name: str, sha256: str, timing: Timing
) -> None:
    encoder = PredictionEncoder(dataclasses.replace(CONTRACT, labels=labels, name=name), sha256)
    ids, classes, confidences = zip(*answers, strict=True)
    encoded = encoder.encode([request_of(text) for text in ids], classes, confidences, timing)
    spent = (timing.queue_ms, timing.infer_ms, timing.batch)
    assert [each.value for each in encoded] == [
        dumped(Prediction(text, number, labels[number], confidence, name, sha256, *spent))
        for text, number, confidence in answers
    ]


GOOD = b'{"id":"r","class":9,"label":"a","confidence":0.5,"model":"m","sha256":"","queue_ms":1,"infer_ms":1,"batch":1}'
POISON = [
    GOOD.replace(b":9", b":Infinity"),
    GOOD.replace(b":9", b":1e999"),
    GOOD.replace(b"0.5", b"NaN"),
    GOOD.replace(b"0.5", b"9" * 400),
    GOOD.replace(b"0.5", b"true"),
    GOOD.replace(b'"a"', b'"\\ud800"'),
]


def test_the_poison_is_in_what_was_replaced() -> None:
    assert decode_prediction(record(GOOD)).class_index == 9


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b"\xff", b'{"id": 1, "class": "x"}', b"[" * 5000, *POISON])
def test_what_is_no_prediction_is_refused(value: bytes | None) -> None:
    with pytest.raises(BadDataError, match="requests-3-17 is no prediction"):
        decode_prediction(record(value))


@pytest.mark.parametrize(
    ("label", "true_label", "is_right"),
    [("Coat", "Coat", True), ("Coat", "Bag", False), ("Coat", "9", True), ("Coat", "8", False), ("9", "9", True),
     ("10", "9", False)],
)  # fmt: skip
def test_right_is_by_name_or_by_number(label: str, true_label: str, is_right: bool) -> None:
    assert dataclasses.replace(PREDICTION, label=label).is_right(true_label) is is_right


def test_a_dead_letter_keeps_the_record_and_says_why() -> None:
    original = record(b"value", [("x", b"1"), ("x", b"2"), ("empty", None)], b"key")
    encoded = encode_dead_letter(original, BadRequestError("too short"), 900_000)
    assert (encoded.key, encoded.value) == (b"key", b"value")
    assert list(encoded.headers) == [
        ("x", b"1"),
        ("x", b"2"),
        ("empty", b""),
        ("__connect.errors.topic", b"requests"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"17"),
        ("__connect.errors.exception.class.name", b"BadRequestError"),
        ("__connect.errors.exception.message", b"too short"),
    ]


def test_a_dead_letter_without_key_and_value_is_marked() -> None:
    encoded = encode_dead_letter(record(None), BadRequestError("no value"), 900_000)
    assert encoded.value == b""
    assert ("dead-letter-null-value", b"true") in encoded.headers
    assert encode_dead_letter(record(None, key=b"k"), BadRequestError("no value"), 900_000).value is None


def test_a_large_dead_letter_drops_value_then_headers_then_key() -> None:
    big = bytes(950_000)
    dropped = encode_dead_letter(record(big, [("x", b"1")], b"k"), BadRequestError("size"), 900_000)
    assert (dropped.key, dropped.value) == (b"k", b"")
    headers = dict(dropped.headers)
    assert headers["dead-letter-value-bytes"] == b"950000"
    assert len(headers["dead-letter-value-sha256"] or b"") == 64
    assert headers["x"] == b"1"
    without_headers = encode_dead_letter(record(b"v", [("x", big)], b"k"), BadRequestError("size"), 900_000)
    assert "x" not in dict(without_headers.headers)
    assert dict(without_headers.headers)["dead-letter-dropped-headers"] == b"1"
    without_key = encode_dead_letter(record(b"v", [], big), BadRequestError("size"), 900_000)
    assert without_key.key is None
    assert dict(without_key.headers)["dead-letter-dropped-key-bytes"] == b"950000"
