"""What happened in one run: what was asked, what the sender knows, and what the topics hold in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.records import Record

NUMBER = "fault-number"
"""Header with a question's number, also on poison that has no valid request-id; the classifier doesn't copy it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The known answer to a good question."""

    class_index: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Question:
    """One record to send; `copied` are the headers that its answer must carry, `expected` is None for poison."""

    number: int
    key: bytes
    value: bytes | None
    copied: tuple[tuple[str, bytes], ...]
    others: tuple[tuple[str, bytes], ...]
    expected: Expected | None

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """All headers, as they are sent."""
        return [*self.copied, *self.others, (NUMBER, str(self.number).encode())]


@dataclass(frozen=True)
class History:
    """One run: `questions` by number, the numbers `acknowledged` to the sender, and all records of three topics.

    A question without an acknowledgement may or may not be in `requests`; where it is, it must be answered too.
    Records are in the order of each partition.
    """

    questions: Mapping[int, Question]
    acknowledged: frozenset[int]
    requests: Sequence[Record]
    predictions: Sequence[Record]
    dead_letters: Sequence[Record]
    sha256: str


def number_of(request: Record) -> int:
    """The number of a record of the request topic."""
    return int(dict(request.headers)[NUMBER] or b"")
