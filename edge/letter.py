"""Dead letters, written and read back: why a record was not answered, and whether it can be sent once more."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from edge.codec import header
from edge.recordbatch import RAW
from edge.records import Encoded, Headers, Record

ERRORS = "__connect.errors."
DEAD_LETTER = "dead-letter-"
"""How the headers begin that a dead letter has on top of its record's."""
VALUE_BYTES, VALUE_SHA256 = DEAD_LETTER + "value-bytes", DEAD_LETTER + "value-sha256"
NULL_VALUE, DROPPED_HEADERS = DEAD_LETTER + "null-value", DEAD_LETTER + "dropped-headers"
DROPPED_KEY_BYTES = DEAD_LETTER + "dropped-key-bytes"
REPLAYED_FROM = DEAD_LETTER + "replayed-from"
"""Header of a replayed record: topic-partition-offset of its dead letter; if it is rejected again, this is kept."""

_RECORD_OVERHEAD = 128


@dataclass(frozen=True)
class DeadLetter:
    """One record of the dead-letter topic."""

    record: Record

    @property
    def id(self) -> str:
        """Its own partition and offset, as the commands take it."""
        return f"{self.record.partition.number}-{self.record.offset}"

    @property
    def time(self) -> datetime:
        """When it was written."""
        return datetime.fromtimestamp(min(max(0, self.record.timestamp_ms), 253402300799000) / 1000, UTC)

    @property
    def reason(self) -> str:
        """Why the record was not answered."""
        return self.said("exception.message") or self.record.flaw or "no reason given"

    @property
    def origin(self) -> str:
        """The record's topic, partition and offset."""
        return "-".join(self.said(part) or "?" for part in ("topic", "partition", "offset"))

    @property
    def value_bytes(self) -> int:
        """How long the record's value was, also when it was left out."""
        stated = header(self.record, VALUE_BYTES) or ""
        return int(stated) if re.fullmatch(r"[0-9]{1,15}", stated) else len(self.record.value or b"")

    @property
    def headers(self) -> Headers:
        """The headers that the record had itself."""
        return [item for item in self.record.headers if not item[0].startswith((ERRORS, DEAD_LETTER))]

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be replayed, None when it can."""
        names = {name for name, _ in self.record.headers}
        if self.record.flaw is not None:
            return f"it is broken itself ({self.record.flaw})"
        if RAW in names:
            return "its value is not a request but raw bytes of Kafka's format"
        if names & {VALUE_BYTES, DROPPED_HEADERS, DROPPED_KEY_BYTES}:
            return "its value, headers or key were left out, since a dead letter would have been too large with them"
        return "it had neither key nor value" if NULL_VALUE in names else None

    def said(self, name: str) -> str | None:
        """What the classifier said about it in a header of Kafka Connect's."""
        return header(self.record, ERRORS + name)


def selected(records: Iterable[Record], reason: str | None, since: datetime | None) -> Iterator[DeadLetter]:
    """The dead letters whose reason has this text, in any case, and which were written since."""
    for letter in map(DeadLetter, records):
        has_text = reason is None or reason.lower() in letter.reason.lower()
        if has_text and (since is None or letter.time >= since):
            yield letter


def to_json(letter: DeadLetter) -> str:
    """One JSON object for scripts; `obstacle` says why it cannot be replayed."""
    key = letter.record.key
    document = {
        "id": letter.id,
        "time": letter.time.isoformat(timespec="milliseconds"),
        **{part: letter.said(part) for part in ("topic", "partition", "offset")},
        "reason": letter.reason,
        "key": None if key is None else key.decode("utf-8", "backslashreplace"),
        "bytes": letter.value_bytes,
        "obstacle": letter.obstacle,
    }
    return json.dumps(document)


def to_line(letter: DeadLetter) -> str:
    """One line for people."""
    key = "-" if letter.record.key is None else letter.record.key[:32].decode("utf-8", "backslashreplace")
    time = letter.time.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{letter.id:<8} {time}  {letter.origin}  {letter.value_bytes:>7} bytes  {key}  {letter.reason}"


def details(letter: DeadLetter) -> Iterator[str]:
    """All that is known, but for the value itself."""
    yield f"dead letter  {letter.id}, written {letter.time.isoformat(timespec='milliseconds')}"
    yield f"record       {letter.origin}"
    yield f"reason       {letter.reason}"
    yield f"replay       {letter.obstacle or 'possible'}"
    yield f"key          {letter.record.key!r}"
    for name, content in letter.record.headers:
        if not name.startswith(ERRORS):
            yield f"header       {name}: {content!r}"
    yield f"value        {letter.value_bytes} bytes" + ("" if letter.record.value else ", none of them here")


def hex_line(start: int, data: bytes) -> str:
    """Sixteen bytes of a value as hexdump prints them."""
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    return f"{start:08x}  {data.hex(' '):<47}  {text}"


def encode_dead_letter(record: Record, error: Exception, max_bytes: int) -> Encoded:
    """The record with the reason why it was not answered, in the headers that Kafka Connect uses.

    What would exceed `max_bytes` goes without its value, then without its headers and key; size and SHA-256 of the
    value stand in for it. kafka-python writes no null header, nor a record with neither key nor value: both become
    empty, the latter marked with the header `dead-letter-null-value`.
    """
    reason = [
        (ERRORS + "topic", record.partition.topic.encode()),
        (ERRORS + "partition", str(record.partition.number).encode()),
        (ERRORS + "offset", str(record.offset).encode()),
        (ERRORS + "exception.class.name", type(error).__name__.encode()),
        (ERRORS + "exception.message", str(error).encode()[:1000]),
    ]
    key, value = record.key, record.value
    headers = [(name, content or b"") for name, content in record.headers]
    if value is None and key is None:
        value = b""
        reason.append((NULL_VALUE, b"true"))
    if value is not None and record_bytes(key, value, [*headers, *reason]) > max_bytes:
        reason.append((VALUE_BYTES, str(len(value)).encode()))
        reason.append((VALUE_SHA256, hashlib.sha256(value).hexdigest().encode()))
        value = b""
    if record_bytes(key, value, [*headers, *reason]) > max_bytes:
        reason.append((DROPPED_HEADERS, str(len(headers)).encode()))
        headers = []
    if record_bytes(key, value, [*headers, *reason]) > max_bytes:
        reason.append((DROPPED_KEY_BYTES, str(len(key or b"")).encode()))
        key, value = None, b""
    return Encoded(key, value, [*headers, *reason])


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """How large a record is on its way at most."""
    texts = sum(len(name.encode()) + len(content or b"") + 10 for name, content in headers)
    return _RECORD_OVERHEAD + len(key or b"") + len(value or b"") + texts
