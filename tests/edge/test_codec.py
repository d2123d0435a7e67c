"""Requests on the wire: what is decoded, and what is refused with which reason."""

import dataclasses
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.codec import (
    MAX_COPIED_BYTES,
    decode_request,
    stacked,
)
from edge.contract import Contract
from edge.errors import BadRequestError
from edge.records import Headers, Partition, Record

CONTRACT = Contract("lenet", "image", "uint8", (28, 28, 1), "HWC", "probabilities", tuple("abcdefghij"))
FLOATS = dataclasses.replace(CONTRACT, dtype="float32", shape=(3, 4, 5), layout="CHW")
PIXELS = np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)
NPY, JSON = ("content-type", b"application/x-npy"), ("content-type", b"application/json")


def record(value: bytes | None, headers: Headers = (), key: bytes | None = None) -> Record:
    return Record(Partition("requests", 3), 17, 0, key, value, headers)


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version, allow_pickle=False)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (1, 28, 28, 1), (1, 28, 28)])
def test_every_encoding_and_shape_gives_the_same_pixels(shape: tuple[int, ...]) -> None:
    array = PIXELS.reshape(shape)
    for value, headers in [
        (PIXELS.tobytes(), []),
        (PIXELS.tobytes(), [("content-type", b"application/octet-stream")]),
        (npy(array), [NPY]),
        (npy(array, (2, 0)), [NPY]),
        (npy(array, (3, 0)), [NPY]),
        (json.dumps(array.tolist()).encode(), [JSON]),
    ]:
        (image,) = stacked([decode_request(record(value, headers), CONTRACT)], CONTRACT)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, PIXELS)


def test_floats_travel_in_every_encoding() -> None:
    array = np.random.default_rng(1).random((3, 4, 5), np.float32)
    for value, headers in [
        (array.tobytes(), []),
        (npy(array), [NPY]),
        (json.dumps(array.astype(float).tolist()).encode(), [JSON]),
    ]:
        (image,) = stacked([decode_request(record(value, headers), FLOATS)], FLOATS)
        np.testing.assert_array_equal(image, array)


def test_a_batch_is_one_array_in_the_order_of_its_requests() -> None:
    images = np.random.default_rng(2).integers(0, 256, (5, 28, 28, 1), np.uint8)
    requests = [decode_request(record(image.tobytes()), CONTRACT) for image in images]
    np.testing.assert_array_equal(stacked(requests, CONTRACT), images)


def test_a_request_without_id_is_named_by_its_place() -> None:
    assert decode_request(record(PIXELS.tobytes()), CONTRACT).id == "requests-3-17"
    headers = [("request-id", b"r1")]
    assert decode_request(record(PIXELS.tobytes(), headers), CONTRACT).id == "r1"


def test_only_known_headers_are_copied() -> None:
    headers = [("ce_id", b"1"), ("x-other", b"2"), ("true-label", b"9"), ("created-ns", b"3"), ("traceparent", b"00")]
    copied = decode_request(record(PIXELS.tobytes(), headers), CONTRACT).headers
    assert copied == [("ce_id", b"1"), ("true-label", b"9"), ("created-ns", b"3"), ("traceparent", b"00")]


HEADER = b"{'descr': '|u1', 'fortran_order': False, 'shape': ("
BAD: dict[str, tuple[bytes | None, Headers, str]] = {
    "null value": (None, [], "no value"),
    "empty": (b"", [], "0 bytes"),
    "one byte short": (PIXELS.tobytes()[:-1], [], "783 bytes"),
    "10 MB": (bytes(10_000_000), [], "10,000,000 bytes"),
    "10 MB of JSON": (b"[" * 10_000_000, [JSON], "10,000,000 bytes"),
    "unknown content type": (PIXELS.tobytes(), [("content-type", b"image/png")], "'image/png' is unknown"),
    "content type not UTF-8": (PIXELS.tobytes(), [("content-type", b"\xff")], "not UTF-8"),
    "repeated content type": (PIXELS.tobytes(), [NPY, NPY], "'content-type' is repeated"),
    "repeated id": (PIXELS.tobytes(), [("request-id", b"a"), ("request-id", b"a")], "'request-id' is repeated"),
    "null id": (PIXELS.tobytes(), [("request-id", None)], "'request-id' has no value"),
    "id not UTF-8": (PIXELS.tobytes(), [("request-id", b"\xff\xfe")], "'request-id' is not UTF-8"),
    "too many headers to copy": (PIXELS.tobytes(), [("ce_x", bytes(MAX_COPIED_BYTES + 1))], "16,384 bytes"),
    "npy of noise": (b"noise" * 10, [NPY], "does not begin as npy"),
    "npy cut off": (npy(PIXELS)[:40], [NPY], "truncated"),
    "npy header cut off": (npy(PIXELS)[:9], [NPY], "does not begin as npy"),
    "npy pixels cut off": (npy(PIXELS)[:-1], [NPY], "needs 784 bytes"),
    "npy with more behind": (npy(PIXELS) + b"x", [NPY], "needs 784 bytes"),
    "npy version 9": (b"\x93NUMPY\x09" + npy(PIXELS)[7:], [NPY], "version 9"),
    "npy huge header": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", [NPY], "truncated or too long"),
    "npy huge shape": (npy(PIXELS).replace(b"(28, 28, 1)", b"(99999999,)"), [NPY], "needs 99,999,999 bytes"),
    "npy evil header": (npy(PIXELS).replace(b"False", b"f()  "), [NPY], "malformed"),
    "npy endless digits": (b"\x93NUMPY\x01\x00\x00\x10" + HEADER + b"1" * (4096 - len(HEADER)), [NPY], "malformed"),
    "npy of objects": (npy(PIXELS).replace(b"|u1", b"|O8"), [NPY], "dtype '|O8'"),
    "npy of floats": (npy(PIXELS.astype(np.float32)), [NPY], "dtype '<f4'"),
    "npy big-endian": (npy(PIXELS.astype(">u2")), [NPY], "dtype '>u2'"),
    "npy Fortran": (npy(np.asfortranarray(PIXELS.reshape(28, 28))), [NPY], "Fortran"),
    "npy of another shape": (npy(PIXELS.reshape(784)), [NPY], "shape (784,)"),
    "npy of too many dimensions": (npy(PIXELS.reshape(1, 1, 1, 28, 28, 1)), [NPY], "6 dimensions"),
    "JSON of noise": (b"{]", [JSON], "not JSON"),
    "JSON not UTF-8": (b"\xff\xfe", [JSON], "not UTF-8"),
    "JSON object": (b"{}", [JSON], "shape ()"),
    "JSON number": (b"7", [JSON], "shape ()"),
    "JSON of brackets": (b"[" * 20_000, [JSON], "more than 4,709 values"),
    "JSON too deep": (b"[" * 4000, [JSON], "nests deeper than 5"),
    "JSON ragged": (json.dumps([[1] * 28] * 27 + [[1] * 27]).encode(), [JSON], "differ in length"),
    "JSON mixed depth": (json.dumps([[1] * 28] * 27 + [[[1]] * 28]).encode(), [JSON], "integers from 0 to 255"),
    "JSON of floats": (json.dumps([[1.5] * 28] * 28).encode(), [JSON], "integers from 0 to 255"),
    "JSON of booleans": (json.dumps([[True] * 28] * 28).encode(), [JSON], "integers from 0 to 255"),
    "JSON of 256": (json.dumps([[256] * 28] * 28).encode(), [JSON], "integers from 0 to 255"),
    "JSON of texts": (json.dumps([["1"] * 28] * 28).encode(), [JSON], "integers from 0 to 255"),
    "JSON NaN": (b"NaN", [JSON], "not JSON"),
    "JSON of another shape": (json.dumps([[1] * 27] * 27).encode(), [JSON], "shape (27, 27)"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_with_its_reason(name: str) -> None:
    value, headers, reason = BAD[name]
    with pytest.raises(BadRequestError) as raised:
        decode_request(record(value, headers), CONTRACT)
    assert reason in raised.value.message
    assert len(raised.value.message) < 500


def test_what_the_client_could_not_decode_is_refused_with_its_reason() -> None:
    flawed = record(PIXELS.tobytes())._replace(flaw="the record is broken")
    with pytest.raises(BadRequestError, match="the record is broken"):
        decode_request(flawed, CONTRACT)


def test_a_huge_key_is_refused() -> None:
    with pytest.raises(BadRequestError, match="key has 20,000 bytes"):
        decode_request(record(PIXELS.tobytes(), key=bytes(20_000)), CONTRACT)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_pixels_that_are_not_finite_are_refused(bad: float) -> None:
    array = np.full(FLOATS.shape, bad, np.float32)
    for value, headers in [(array.tobytes(), []), (npy(array), [NPY])]:
        with pytest.raises(BadRequestError, match="finite"):
            decode_request(record(value, headers), FLOATS)
    with pytest.raises(BadRequestError, match=r"not JSON|numbers of float32"):
        decode_request(record(json.dumps(array.astype(float).tolist()).encode(), [JSON]), FLOATS)
    with pytest.raises(BadRequestError, match="numbers of float32"):
        decode_request(record(json.dumps(np.full(FLOATS.shape, 1e300).tolist()).encode(), [JSON]), FLOATS)


@given(
    st.one_of(st.none(), st.binary(max_size=1000), st.binary(max_size=200).map(lambda b: npy(PIXELS)[:-200] + b)),
    st.lists(st.tuples(st.sampled_from(["content-type", "request-id", "ce_a", "x"]), st.none() | st.binary())),
    st.sampled_from([None, *(h.encode() for h in ("application/x-npy", "application/json"))]),
)
def test_whatever_comes_is_decoded_or_refused(value: bytes | None, headers: Headers, kind: bytes | None) -> None:
    if kind is not None:
        headers = [("content-type", kind), *(h for h in headers if h[0] != "content-type")]
    try:
        request = decode_request(record(value, headers), CONTRACT)
    except BadRequestError:
        return
    assert stacked([request], CONTRACT).shape == (1, *CONTRACT.shape)
