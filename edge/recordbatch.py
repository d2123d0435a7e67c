"""Tolerant decoding of Kafka's record batches, format v2: what is wrong with one record does not hide its neighbours.

The format: https://kafka.apache.org/documentation/#recordbatch. Whatever the bytes, records come out, some with a flaw;
their offsets ascend strictly within the batch's own range, and no more memory is taken than the batch's payload needs.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAX_INFLATED_BYTES = 64 * 1024 * 1024
"""What a compressed batch may hold; a batch is at most as large as the topic's max.message.bytes, compressed."""

RAW = "dead-letter-raw"
"""Header of a value that is bytes in Kafka's format: of one `record`, of a batch's last `records`, of a `batch`."""
FIRST_OFFSET, LAST_OFFSET = "dead-letter-first-offset", "dead-letter-last-offset"
RECORD_COUNT, CODEC = "dead-letter-record-count", "dead-letter-codec"

_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH = struct.Struct(">qi")
_CRC_START = 21
_LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x08, 0x10, 0x20
# Attributes, timestamp, offset, key, value and the count of headers take a byte each, at least.
_SMALLEST_RECORD = 6

RawHeaders = list[tuple[str, bytes | None]]


class Decoded(NamedTuple):
    """One record; with a flaw, what could be saved of it, or the raw bytes of all that ends at its offset.

    `timestamp` is in milliseconds since 1970.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders
    flaw: str | None


class BatchHeader(NamedTuple):
    """The 61 bytes before the records, as Kafka's documentation names them."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        """The last offset that the batch stands for, which compaction keeps even when its record is gone."""
        return self.base_offset + max(0, self.last_offset_delta)

    @property
    def codec(self) -> str:
        """Name of the compression."""
        number = self.attributes & 7
        return _CODECS[number] if number < len(_CODECS) else f"unknown ({number})"

    @property
    def is_control(self) -> bool:
        """Whether it holds a transaction's marker instead of records."""
        return bool(self.attributes & _CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Whether it belongs to a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)


def split(data: bytes | memoryview) -> Iterator[bytes]:
    """The batches in a fetch response.

    A response may end in the middle of a batch, which is then left out, but it never begins with such a part: there
    the length is wrong, and all bytes are given as one.
    """
    view, start = memoryview(data), 0
    while len(view) - start >= _LENGTH.size:
        length = _LENGTH.unpack_from(view, start)[1]
        end = start + _LENGTH.size + length
        if length < 0 or end > len(view):
            break
        yield bytes(view[start:end])
        start = end
    if start == 0 and view:
        yield bytes(view)


def parse_header(batch: bytes) -> BatchHeader | None:
    """The header of a batch, or None when it is too short to have one."""
    return BatchHeader._make(_HEADER.unpack_from(batch)) if len(batch) >= _HEADER.size else None


def checksummed(batch: bytes) -> memoryview:
    """The bytes of a batch that its CRC-32C is about."""
    return memoryview(batch)[_CRC_START:]


def decode(batch: bytes, header: BatchHeader, max_bytes: int = MAX_INFLATED_BYTES) -> Iterator[Decoded]:
    """The records of one batch of the right length, version and CRC."""
    payload = _payload(batch, header, max_bytes)
    if isinstance(payload, str):
        yield whole(batch, header.base_offset, header.last_offset, payload)
    else:
        yield from _records(payload, header)


def whole(batch: bytes, first: int, last: int, reason: str) -> Decoded:
    """One record that stands for all of a batch: its value is the batch itself, its offset the last one."""
    header = parse_header(batch)
    about: RawHeaders = [(RAW, b"batch"), *_range(first, last)]
    if header is not None:
        about += [(RECORD_COUNT, str(header.records).encode()), (CODEC, header.codec.encode())]
    return Decoded(last, -1 if header is None else header.max_timestamp, None, batch, about, reason)


def _range(first: int, last: int) -> RawHeaders:
    return [(FIRST_OFFSET, str(first).encode()), (LAST_OFFSET, str(last).encode())]


def _payload(batch: bytes, header: BatchHeader, max_bytes: int) -> bytes | str:
    """The records' bytes, or why they cannot be had."""
    if not 0 <= header.records <= header.last_offset_delta + 1:
        return f"the batch says that it has {header.records} records at {header.last_offset_delta + 1} offsets"
    if header.codec == "none":
        return batch[_HEADER.size :]
    if header.codec != "gzip":
        return (
            f"the batch is compressed with {header.codec}, which is not read here: "
            "set compression.type=uncompressed on the topic, so that the broker unpacks what clients send"
        )
    stream = zlib.decompressobj(wbits=31)
    try:
        payload = stream.decompress(memoryview(batch)[_HEADER.size :], max_bytes + 1)
    except zlib.error as error:
        return f"the batch is not the gzip that it says it is ({error})"
    if len(payload) > max_bytes:
        return f"the batch unpacks to more than {max_bytes:,} bytes"
    # Bytes behind the stream's end are passed over, as every other Kafka client does.
    return payload if stream.eof else "the batch's gzip ends too early"


def _records(payload: bytes, header: BatchHeader) -> Iterator[Decoded]:
    """The records; where one has no end that makes sense, all from there on are one flawed record."""
    position = 0
    is_appended = header.attributes & _LOG_APPEND_TIME
    lowest, highest = header.base_offset, header.last_offset - header.records + 1
    for left in range(header.records, 0, -1):
        start, end = _extent(payload, position)
        if end < 0 or (left == 1 and end != len(payload)):
            yield _rest(payload, position, header, lowest, left, end)
            return
        try:
            delta_ms, delta, key, value, headers, flaw = _fields(payload, start, end)
        except (IndexError, ValueError) as error:
            reason = f"the record is broken ({error})"
            decoded = Decoded(lowest, header.max_timestamp, None, payload[start:end], [(RAW, b"record")], reason)
        else:
            offset = header.base_offset + delta
            if not lowest <= offset <= highest:
                offset, flaw = lowest, f"the record says that its offset is {offset}, where {lowest} is due"
            timestamp_ms = header.max_timestamp if is_appended else header.first_timestamp + delta_ms
            decoded = Decoded(offset, timestamp_ms, key, value, headers, flaw)
        yield decoded
        # Each record behind this one needs an offset, too.
        lowest, highest, position = decoded.offset + 1, highest + 1, end
    if header.records == 0 and position != len(payload):
        yield _rest(payload, position, header, lowest, 0, len(payload))


def _extent(payload: bytes, position: int) -> tuple[int, int]:
    """Where a record's fields begin and end; the end is negative when its length makes no sense."""
    try:
        length, start = _varint(payload, position)
    except (IndexError, ValueError):
        return position, -1
    end = start + length
    return start, end if length >= _SMALLEST_RECORD and end <= len(payload) else -1


def _rest(payload: bytes, position: int, header: BatchHeader, first: int, left: int, end: int) -> Decoded:
    reason = f"{left} records of the batch are broken: " + (
        "a length makes no sense" if end < 0 else f"{len(payload) - end} bytes are left behind the last one"
    )
    about = [(RAW, b"records"), *_range(first, header.last_offset), (RECORD_COUNT, str(left).encode())]
    return Decoded(header.last_offset, header.max_timestamp, None, payload[position:], about, reason)


def _fields(
    payload: bytes, position: int, end: int
) -> tuple[int, int, bytes | None, bytes | None, RawHeaders, str | None]:
    """Timestamp and offset, each relative to the batch's first, key, value, headers, and a flaw in their names.

    Raises: IndexError or ValueError when the fields do not end where the record does.
    """
    delta_ms, position = _varint(payload, position + 1)
    delta, position = _varint(payload, position)
    key, position = _bytes(payload, position, end)
    value, position = _bytes(payload, position, end)
    count, position = _varint(payload, position)
    if count < 0:
        raise ValueError(f"it says that it has {count} headers")
    headers: RawHeaders = []
    flaw = None
    for _ in range(count):
        name, position = _bytes(payload, position, end)
        content, position = _bytes(payload, position, end)
        if name is None:
            raise ValueError("a header has no name")
        try:
            headers.append((name.decode(), content))
        except UnicodeDecodeError:
            text = name.decode("utf-8", "backslashreplace")
            headers.append((text, content))
            flaw = f"the name of the header {text[:100]!r} is not UTF-8"
    if position != end:
        raise ValueError(f"{end - position} bytes are left behind its fields")
    return delta_ms, delta, key, value, headers, flaw


def _bytes(payload: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    length, position = _varint(payload, position)
    if length < 0:
        return None, position
    if position + length > end:
        raise ValueError(f"a field of {length} bytes runs over its end")
    return payload[position : position + length], position + length


def _varint(payload: bytes, position: int) -> tuple[int, int]:
    """A zigzag number of up to 64 bits, and the position behind it."""
    byte = payload[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    number, shift = byte & 0x7F, 7
    while byte >= 0x80:
        if shift > 63:
            raise ValueError("a number has more than 64 bits")
        byte = payload[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), position
