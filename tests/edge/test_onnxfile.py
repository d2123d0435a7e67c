"""The walk over a model file: what it refuses, that nothing gets past it by odd encoding, and that it always ends."""

import time

import pytest
from hypothesis import given

from edge import onnxfile, protobuf
from edge.errors import BadModelError
from tests.mutations import SHORT, damaged, restructured, trees
from tests.paths import LENET
from tests.protobuf import field, insert, varint

DATA = LENET.read_bytes()
LOCATION = field(1, b"location") + field(2, b"/etc/passwd")
EXTERNAL = field(13, LOCATION)
FLOAT, INT64, INT4 = field(2, 1), field(2, 7), field(2, 22)


def graph(number: int, content: bytes) -> bytes:
    """The real model with one more field in its graph."""
    return insert(DATA, (7,), field(number, content))


def attribute(content: bytes) -> bytes:
    """The real model with one more node, which has one attribute."""
    return graph(1, field(5, content))


def nested(levels: int) -> bytes:
    message = b""
    for _ in range(levels):
        message = field(1, field(5, field(6, message)))
    return insert(DATA, (7,), message)


def nested_type(levels: int) -> bytes:
    message = b""
    for _ in range(levels):
        message = field(4, field(1, message))
    return message


def wide_tag(number: int) -> bytes:
    """A tag with a bit beyond the 32 that a reader keeps: onnxruntime reads it as if that bit were not there."""
    return varint((number << 3 | protobuf.BYTES) + 2**32)


UNSAFE = {
    "external data": (graph(5, EXTERNAL), "weights in another file"),
    "external location only": (graph(5, field(14, 1)), "weights in another file"),
    "external data twice": (graph(5, EXTERNAL + EXTERNAL), "weights in another file"),
    "external data behind a wide tag": (graph(5, wide_tag(13) + varint(len(LOCATION)) + LOCATION), "impossible number"),
    "external data in a graph that is merged": (DATA + field(7, field(5, EXTERNAL)), "field 7 of a model stands twice"),
    "external location taken back": (graph(5, field(14, 1) + field(14, 0)), "weights in another file"),
    "external data in an attribute": (attribute(field(5, EXTERNAL)), "weights in another file"),
    "external data in attributes": (attribute(field(10, EXTERNAL)), "weights in another file"),
    "external data in a sparse tensor": (graph(15, field(1, EXTERNAL)), "weights in another file"),
    "external data in sparse indices": (graph(15, field(2, EXTERNAL)), "weights in another file"),
    "external data in a sparse attribute": (attribute(field(22, field(1, EXTERNAL))), "weights in another file"),
    "external data in a subgraph": (attribute(field(6, field(5, EXTERNAL))), "weights in another file"),
    "external data in subgraphs": (attribute(field(11, field(5, EXTERNAL))), "weights in another file"),
    "external data in training": (DATA + field(20, field(2, field(5, EXTERNAL))), "weights in another file"),
    "foreign operator": (graph(1, field(7, b"com.microsoft")), "'com.microsoft'"),
    "foreign operator taken back": (graph(1, field(7, b"") + field(7, b"evil")), "stands twice"),
    "foreign operator in a subgraph": (attribute(field(6, field(1, field(7, b"evil")))), "'evil'"),
    "foreign type": (graph(11, field(2, field(7, field(1, b"evil")))), "'evil'"),
    "functions": (DATA + field(25, field(1, b"f")), "functions inlined"),
    "a name that is not UTF-8": (graph(1, field(3, b"\xff")), "not UTF-8"),
    "a domain that is not UTF-8": (graph(1, field(7, b"\xff")), "not UTF-8"),
}
LARGE = {
    "nested without end": (nested(40), "deeper than 32"),
    "a type nested without end": (graph(11, field(2, nested_type(20))), "deeper than 32"),
    "a claim of terabytes": (graph(5, field(1, 10**6) * 2 + FLOAT + field(9, bytes(4))), "claims the shape"),
    "a claim by packed dimensions": (graph(5, field(1, varint(10**6) * 2) + FLOAT), "claims the shape"),
    "a claim of an attribute": (attribute(field(5, field(1, 10**6) + FLOAT)), "claims the shape"),
    "a claim of one element more": (graph(5, field(1, 2) + FLOAT + field(4, bytes(4))), "claims the shape"),
    "a claim of numbers": (graph(5, field(1, 3) + INT64 + field(7, varint(5) * 2)), "claims the shape"),
    "a claim of half bytes": (graph(5, field(1, 5) + INT4 + field(9, bytes(2))), "claims the shape"),
    "a negative dimension": (graph(5, field(1, 2**64 - 1) + FLOAT), "or negative"),
    "a zero among huge dimensions": (graph(5, field(1, 0) + field(1, 2**31 - 1) * 2 + FLOAT), "claims the shape"),
    "33 dimensions": (graph(5, field(1, 1) * 33 + FLOAT), "more than 32"),
    "a tensor of no type": (graph(5, field(1, 1)), "unknown data type 0"),
    "a tensor of a new type": (graph(5, field(2, 99)), "unknown data type 99"),
    "a sparse tensor of terabytes": (graph(15, field(3, 10**6) * 2), "sparse tensor has shape"),
    "a long operator": (graph(1, field(4, bytes(4097))), "4,097 bytes"),
    "many nodes": (insert(DATA, (7,), field(1, b"") * 50_000), "more than 50,000 node messages"),
    "many fields": (graph(1, field(1, b"") * 500_000), "more than 500,000 fields"),
    "much metadata": (DATA + field(14, b"") * 50_000, "more than 50,000 entry messages"),
}
MALFORMED = {
    "a number for a graph": (field(7, 1), "field 7 of a model is of another type"),
    "a graph of fixed size": (varint(7 << 3 | 1) + bytes(8), "field 7 of a model is of another type"),
    "a text for a number": (field(1, b"8"), "field 1 of a model is of another type"),
    "an unknown field": (DATA + field(99, 1), "field 99 of a model"),
    "field 0": (DATA + b"\x00\x00", "impossible number"),
    "a group": (DATA + b"\x3b\x3c", "unknown wire type"),
    "wire type 7": (DATA + b"\x0f", "unknown wire type"),
    "an endless number": (DATA + b"\x08" + b"\x80" * 20, "more than 64 bits"),
    "a number of 65 bits": (DATA + b"\x28" + b"\x80" * 9 + b"\x02", "more than 64 bits"),
    "a length beyond the end": (DATA + b"\x3a\xff\xff\xff\xff\x0f", "truncated"),
}
BAD = {**UNSAFE, **LARGE, **MALFORMED}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(BadModelError) as raised:
        onnxfile.check(data)
    assert reason in raised.value.message
    assert len(raised.value.message) < 500


GOOD_TENSORS = {
    "a scalar": FLOAT + field(9, bytes(4)),
    "an empty one": field(1, 0) + FLOAT,
    "raw": field(1, 2) * 2 + FLOAT + field(9, bytes(16)),
    "packed": field(1, b"\x02\x03") + INT64 + field(7, bytes(6)),
    "unpacked": field(1, 3) + INT64 + field(7, 5) * 3,
    "texts": field(1, 3) + field(2, 8) + field(6, b"") * 3,
    "half bytes": field(1, 5) + INT4 + field(9, bytes(3)),
    "half bytes in numbers": field(1, 5) + INT4 + field(5, bytes(3)),
}


@pytest.mark.parametrize("name", GOOD_TENSORS)
def test_a_tensor_that_holds_what_it_claims_is_accepted(name: str) -> None:
    assert onnxfile.check(graph(5, GOOD_TENSORS[name])).nodes == 20


def test_the_real_file_is_summed_up() -> None:
    summary = onnxfile.check(DATA)
    assert summary.nodes == 20
    assert list(summary.metadata) == ["contract"]


def test_names_that_do_nothing_may_be_foreign() -> None:
    # Exporters and quantisers declare operator sets that no node uses.
    onnxfile.check(DATA + field(8, field(1, b"com.microsoft") + field(2, 1)))


def test_weights_are_passed_over_unread() -> None:
    weights = graph(5, field(1, 2**25) + FLOAT + field(9, bytes(2**26)))
    started = time.process_time()
    with pytest.raises(BadModelError, match="claims the shape"):
        onnxfile.check(weights)
    assert time.process_time() - started < 1


def settled(data: bytes) -> None:
    """Either a summary or a BadModelError comes, and no other exception."""
    try:
        summary = onnxfile.check(data)
    except BadModelError:
        return
    assert summary.nodes <= onnxfile.MAX_NODES


@SHORT
@given(damaged(DATA))
def test_a_damaged_file_is_walked_or_refused(data: bytes) -> None:
    settled(data)


@SHORT
@given(restructured(DATA))
def test_a_file_of_another_structure_is_walked_or_refused(data: bytes) -> None:
    settled(data)


@SHORT
@given(trees)
def test_any_protobuf_message_is_walked_or_refused(message: bytes) -> None:
    settled(message)
    settled(insert(DATA, (7,), message))
