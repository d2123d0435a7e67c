"""Record batches: what kafka-python writes is read alike, and whatever the bytes, records come out in order."""

import gzip
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from edge.recordbatch import CODEC, FIRST_OFFSET, LAST_OFFSET, RAW, RECORD_COUNT, Decoded, decode, parse_header, split
from tests.system.raw import GZIP, batch, field, fields, record, varint

SNAPPY, ZSTD = 2, 4
CONTENT = st.none() | st.binary(max_size=200)
RECORDS = st.lists(
    st.tuples(st.integers(0, 2**41), CONTENT, CONTENT, st.lists(st.tuples(st.text(max_size=20), CONTENT), max_size=5)),
    max_size=20,
)


def decoded(data: bytes, max_bytes: int = 1 << 20) -> list[Decoded]:
    header = parse_header(data)
    assert header is not None
    records = list(decode(data, header, max_bytes))
    offsets = [r.offset for r in records]
    assert offsets == sorted(set(offsets))
    assert not offsets or (header.base_offset <= offsets[0] and offsets[-1] <= header.last_offset)
    return records


@given(RECORDS, st.sampled_from([0, GZIP]), st.booleans())
def test_what_kafka_python_writes_is_read_as_kafka_python_reads_it(
    records: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]], codec: int, is_appended: bool
) -> None:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for number, (timestamp_ms, key, value, headers) in enumerate(records):
        builder.append(number, timestamp_ms, key, value, headers)
    built = builder.build()
    # The broker sets the bit when the topic has its own timestamps.
    built[22] |= 8 * is_appended
    data = bytes(built)
    expected = [(r.offset, r.timestamp, r.key, r.value, r.headers, None) for r in DefaultRecordBatch(data)]
    assert decoded(data) == expected
    assert list(split(data + data + data[:-1])) == [data, data]


@given(st.binary(max_size=2000), st.sampled_from([0, GZIP]), st.integers(-2, 300), st.integers(-2, 300), st.booleans())
def test_whatever_the_payload_records_or_flaws_come_out(
    payload: bytes, codec: int, count: int, last_delta: int, is_packed: bool
) -> None:
    data = bytearray(batch([], codec, gzip.compress(payload, mtime=0) if is_packed else payload, base=1000))
    struct.pack_into(">i", data, 23, last_delta)
    struct.pack_into(">i", data, 57, count)
    records = decoded(bytes(data))
    assert sum(len(r.value or b"") for r in records) <= max(len(payload), len(data))
    if count > 0 or last_delta < 0:
        assert records


@given(st.lists(st.tuples(st.integers(61, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_in_some_records_leaves_all_offsets_accounted_for(damage: list[tuple[int, int]]) -> None:
    data = bytearray(batch([record(n, b"v" * 20, [("name", b"x" * 5)]) for n in range(8)]))
    for position, byte in damage:
        data[min(position, len(data) - 1)] = byte
    assert decoded(bytes(data))[-1].offset == 7


@given(st.binary(max_size=300))
def test_splitting_never_fails(data: bytes) -> None:
    assert data.startswith(b"".join(split(data)))


def test_compacted_batches_keep_the_offsets_that_are_left() -> None:
    data = bytearray(batch([record(2, b"a"), record(7, b"b")], base=50))
    struct.pack_into(">i", data, 23, 9)
    assert [(r.offset, r.value, r.flaw) for r in decoded(bytes(data))] == [(52, b"a", None), (57, b"b", None)]


def test_more_records_than_offsets_or_none_but_bytes_are_one_flawed_record() -> None:
    data = bytearray(batch([record(n, b"x") for n in range(3)]))
    struct.pack_into(">i", data, 23, 1)
    (flawed,) = decoded(bytes(data))
    assert (flawed.offset, flawed.flaw) == (1, "the batch says that it has 3 records at 2 offsets")
    data = bytearray(batch([record(0, b"x")]))
    struct.pack_into(">i", data, 57, 0)
    (flawed,) = decoded(bytes(data))
    assert (flawed.offset, flawed.value) == (0, record(0, b"x"))
    data = bytearray(batch([]))
    struct.pack_into(">i", data, 23, 7)
    assert decoded(bytes(data)) == []


BROKEN = {
    "the name of the header '\\\\xff' is not UTF-8": field(fields(1, b"bad", [(b"\xff", b"x")])),
    "it says that it has -5 headers": field(fields(1, b"bad")[:-1] + varint(-5)),
    "3 bytes are left behind its fields": field(fields(1, b"bad") + b"xyz"),
    "a header has no name": field(fields(1, b"bad")[:-1] + varint(1) + field(None) + field(b"x")),
    "a field of 1000 bytes runs over its end": field(b"\0\0\2" + field(b"key") + varint(1000) + b"bad\0"),
    "its offset is 5, where 1 is due": record(5, b"bad"),
    "its offset is 0, where 1 is due": record(0, b"bad"),
    "a number has more than 64 bits": field(b"\0" + b"\xff" * 12),
}


@pytest.mark.parametrize("codec", [0, GZIP])
@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_record_stands_alone_among_good_ones(reason: str, codec: int) -> None:
    broken = BROKEN[reason]
    first, bad, last = decoded(batch([record(0, b"first"), broken, record(2, b"last")], codec))
    assert (first.offset, first.value, first.flaw) == (0, b"first", None)
    assert (last.offset, last.value, last.flaw) == (2, b"last", None)
    assert bad.offset == 1
    assert reason in (bad.flaw or "")
    if (RAW, b"record") in bad.headers:
        assert field(bad.value) == broken


@pytest.mark.parametrize("codec", [0, GZIP])
@pytest.mark.parametrize("length", [-1, 0, 5, 1000, 2**40])
def test_a_length_that_makes_no_sense_makes_the_rest_one_flawed_record(length: int, codec: int) -> None:
    broken = varint(length) + fields(1, b"bad")
    first, rest = decoded(batch([record(0, b"first"), broken, record(2, b"last")], codec, base=10))
    assert (first.offset, first.value, first.flaw) == (10, b"first", None)
    assert (rest.offset, rest.value) == (12, broken + record(2, b"last"))
    assert rest.headers == [(RAW, b"records"), (FIRST_OFFSET, b"11"), (LAST_OFFSET, b"12"), (RECORD_COUNT, b"2")]
    assert rest.flaw == "2 records of the batch are broken: a length makes no sense"


def test_bytes_behind_the_last_record_and_records_that_are_missing() -> None:
    first, rest = decoded(batch([b""] * 2, payload=record(0, b"first") + record(1, b"last") + b"junk"))
    assert (first.value, rest.offset) == (b"first", 1)
    assert rest.flaw == "1 records of the batch are broken: 4 bytes are left behind the last one"
    first, rest = decoded(batch([b""] * 3, payload=record(0, b"first")))
    assert (first.value, rest.offset, rest.value) == (b"first", 2, b"")


@pytest.mark.parametrize(
    ("codec", "payload", "reason"),
    [
        (SNAPPY, b"?", "compressed with snappy, which is not read here: set compression.type=uncompressed"),
        (ZSTD, b"?", "compressed with zstd"),
        (7, b"?", "compressed with unknown (7)"),
        (GZIP, b"not gzip", "not the gzip that it says it is"),
        (GZIP, gzip.compress(record(0, b"x"), mtime=0)[:-9], "gzip ends too early"),
        (GZIP, gzip.compress(bytes(100_000), mtime=0), "unpacks to more than 99,999 bytes"),
    ],
)
def test_a_batch_that_cannot_be_unpacked_is_one_flawed_record(codec: int, payload: bytes, reason: str) -> None:
    data = batch([b""] * 3, codec, payload, base=10)
    (flawed,) = decoded(data, 99_999)
    assert (flawed.offset, flawed.value) == (12, data)
    assert reason in (flawed.flaw or "")
    found = dict(flawed.headers)
    assert (found[RAW], found[FIRST_OFFSET], found[LAST_OFFSET], found[RECORD_COUNT]) == (b"batch", b"10", b"12", b"3")
    assert found[CODEC] in (b"snappy", b"zstd", b"unknown (7)", b"gzip")


def test_bytes_behind_a_gzip_stream_are_passed_over() -> None:
    data = batch([b""], GZIP, gzip.compress(record(0, b"good"), mtime=0) + b"junk")
    assert [(r.value, r.flaw) for r in decoded(data)] == [(b"good", None)]


def test_a_payload_of_nothing_but_records_of_no_length_is_one_flaw_not_a_million() -> None:
    data = bytearray(batch([], GZIP, gzip.compress(bytes(1_000_000), mtime=0)))
    struct.pack_into(">i", data, 23, 999_999)
    struct.pack_into(">i", data, 57, 1_000_000)
    assert len(decoded(bytes(data), 1 << 24)) == 1
