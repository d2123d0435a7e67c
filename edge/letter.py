"""A dead letter read back: what its headers say, and whether its record can be sent once more."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from edge.codec import DEAD_LETTER, DROPPED_HEADERS, DROPPED_KEY_BYTES, ERRORS, NULL_VALUE, VALUE_BYTES, header
from edge.recordbatch import RAW
from edge.records import Headers, Record

REPLAYED_FROM = DEAD_LETTER + "replayed-from"
"""Header of a replayed record: topic-partition-offset of its dead letter; if it is rejected again, this is kept."""


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
        return self.said("exception.message") or "no reason given"

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
