"""docs/wire-format.md against the code: its dump, its tables, and what it says is refused."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from edge import codec, letter, pixels, recordbatch
from edge.codec import MAX_COPIED_BYTES, PREDICTION_LIMITS, Timing, decode_prediction, decode_request
from edge.contract import METADATA_KEY, Contract
from edge.errors import BadRequestError
from edge.escalation import FIRST_PREDICTION
from edge.images import Images
from edge.model import Model, load_model
from edge.records import Encoded, Headers, Partition, Record
from localkafka import LocalKafka
from tests.examples.dump import PAGE, SPARSE, answered, dump, parse, read_records
from tests.paths import LENET
from tests.system.wire import wire_on

TEXT = PAGE.read_text()
REQUEST, REPLY = read_records(TEXT)
TIMES = ("received-ns", "sent-ns")
PREDICTION_MEMBERS = {"class_index": "class"}


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(LENET)


def as_record(encoded: Encoded, topic: str = "prediction_request") -> Record:
    return Record(Partition(topic, 0), 0, 0, *encoded)


def rows(title: str, heading: str = "# ") -> list[list[str]]:
    """The cells of the first table under a heading whose head begins with this cell."""
    section = TEXT[TEXT.index(heading) :]
    lines = section[section.index(f"| {title} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_request_is_a_sample_and_is_understood(model: Model, samples: Images) -> None:
    request = decode_request(as_record(REQUEST), model.contract)
    assert (request.id, request.record.key) == ("7f3a-0001", b"camera-1")
    assert request.pixels == REQUEST.value == samples.image[SPARSE].tobytes()
    assert dict(REQUEST.headers)["true-label"] == (samples.true_label(SPARSE) or "").encode()


def test_the_reply_is_what_the_code_answers_byte_for_byte(model: Model, samples: Images) -> None:
    request = decode_request(as_record(REQUEST), model.contract)
    (probabilities,) = model.infer(samples.image[SPARSE : SPARSE + 1])
    said, headers = decode_prediction(as_record(REPLY)), dict(REPLY.headers)
    received_ns, sent_ns = (int(headers[name] or b"") for name in TIMES)
    timing = Timing(received_ns, sent_ns, said.queue_ms, said.infer_ms, said.batch)
    encoder = codec.PredictionEncoder(model.contract, model.sha256)
    number = int(probabilities.argmax())
    answer = encoder.encode([request], [number], [float(probabilities[number])], timing)
    assert answer == [REPLY], "python -m tests.examples.dump writes the page's records anew"
    assert said.is_right("Sandal")


@pytest.mark.kafka
def test_a_real_classifier_answers_the_request_of_the_page(kafka: LocalKafka) -> None:
    wire = wire_on(kafka)
    wire.create()
    reply = answered(wire, REQUEST)
    assert reply.key == REPLY.key
    assert [name for name, _ in reply.headers] == [name for name, _ in REPLY.headers]
    assert set(reply.headers) - set(REPLY.headers) == {(name, dict(reply.headers)[name]) for name in TIMES}
    said, shown = decode_prediction(reply), decode_prediction(as_record(REPLY))
    assert replace(said, queue_ms=shown.queue_ms, infer_ms=shown.infer_ms) == shown
    assert list(json.loads(reply.value or b"")) == list(json.loads(REPLY.value or b""))


@pytest.mark.parametrize("data", [b"", b"abc", bytes(16), bytes(47), bytes(48) + b"x", bytes(range(256)) * 2])
def test_a_dump_is_read_back(data: bytes) -> None:
    assert parse(list(dump(data))) == data


def test_the_page_names_each_header_and_member() -> None:
    copied = {codec.CONTENT_TYPE, codec.REQUEST_ID, codec.CREATED_NS, codec.TRUE_LABEL, codec.TRACEPARENT, "ce_…"}
    answers = {codec.CONTENT_TYPE, codec.RECEIVED_NS, codec.SENT_NS}
    dead = {letter.ERRORS + part for part in ("topic", "partition", "offset")}
    dead |= {letter.ERRORS + "exception." + part for part in ("class.name", "message")}
    dead |= {letter.VALUE_BYTES, letter.VALUE_SHA256, letter.NULL_VALUE, letter.DROPPED_HEADERS}
    dead |= {letter.DROPPED_KEY_BYTES, recordbatch.RAW}
    for heading, names in (("## Request", copied), ("## Prediction", answers), ("### Dead letters", dead)):
        cells = " ".join(row[0] for row in rows("header", heading))
        assert set(re.findall("`([^`]+)`", cells)) == names
    members = [PREDICTION_MEMBERS.get(field.name, field.name) for field in fields(codec.Prediction)]
    assert [row[0].strip("`") for row in rows("member")] == members == list(json.loads(REPLY.value or b""))
    assert f"`{letter.REPLAYED_FROM}`" in TEXT
    assert f"`{FIRST_PREDICTION}`" in TEXT


def test_the_page_has_the_limits_and_forms_of_the_code(model: Model) -> None:
    assert f"up to {MAX_COPIED_BYTES:,}, or null" in TEXT
    assert f"may have {MAX_COPIED_BYTES:,} bytes together" in TEXT
    assert f"at most {PREDICTION_LIMITS.bytes:,} bytes" in TEXT
    forms = [row[0].strip("`") for row in rows("`content-type` | value")]
    assert forms == [pixels.OCTETS, pixels.NPY, pixels.JSON]
    assert f"the key `{METADATA_KEY}`" in TEXT
    assert "| " + " | ".join(model.contract.labels) + " |" in TEXT
    (setting,) = codec.REQUEST_TOPIC_CONFIG.items()
    assert "`{}={}`".format(*setting) in TEXT


def as_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def as_json(shape: tuple[int, ...], value: int = 0) -> bytes:
    return json.dumps(np.full(shape, value).tolist()).encode()


GOOD = bytes(784)
NPY, JSON = ("content-type", b"application/x-npy"), ("content-type", b"application/json")
ID = ("request-id", b"a")
REFUSED: dict[str, tuple[bytes | None, Headers, bytes | None]] = {
    "783 bytes": (GOOD[1:], [], None),
    "no value": (None, [], None),
    "`content-type: image/png`": (GOOD, [("content-type", b"image/png")], None),
    "two headers `request-id`": (GOOD, [ID, ID], None),
    "an empty `request-id`": (GOOD, [("request-id", b"")], None),
    "a `request-id` that is not UTF-8": (GOOD, [("request-id", b"\xff")], None),
    "`ce_` headers of 20,000 bytes": (GOOD, [("ce_a", bytes(10_000)), ("ce_b", bytes(10_000))], None),
    "a key of 20,000 bytes": (GOOD, [], bytes(20_000)),
    "an npy array of floats": (as_npy(np.zeros((28, 28), np.float32)), [NPY], None),
    "JSON of 27 by 27 numbers": (as_json((27, 27)), [JSON], None),
    "JSON that holds 256": (as_json((28, 28), 256), [JSON], None),
}


def test_what_the_page_says_is_refused_is_refused_for_that_reason(model: Model) -> None:
    assert [row[0] for row in rows("a request with")] == list(REFUSED)
    for name, reason in rows("a request with"):
        value, headers, key = REFUSED[name]
        with pytest.raises(BadRequestError) as raised:
            decode_request(as_record(Encoded(key, value, headers)), model.contract)
        assert raised.value.message == reason


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (1, 28, 28), (1, 28, 28, 1)])
@pytest.mark.parametrize(("encode", "header"), [(lambda s: as_npy(np.zeros(s, np.uint8)), NPY), (as_json, JSON)])
def test_every_shape_of_the_page_is_taken(
    shape: tuple[int, ...],
    encode: Callable[[tuple[int, ...]], bytes],
    header: tuple[str, bytes],
    model: Model,
) -> None:
    assert f"`{list(shape)}`" in TEXT
    request = as_record(Encoded(None, encode(shape), [header]))
    assert decode_request(request, model.contract).pixels == GOOD


def test_floats_are_little_endian() -> None:
    contract = Contract("m", "x", "float32", (1, 2), "", "y", ("a", "b"))
    value = np.array([[1.5, -2.0]], "<f4")
    request = decode_request(as_record(Encoded(None, value.tobytes(), ())), contract)
    np.testing.assert_array_equal(codec.stacked([request], contract)[0], value)
