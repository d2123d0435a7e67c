"""Requests, predictions and dead letters brought together by the request's id; pure, and bounded in all it keeps."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from edge.codec import REQUEST_ID, Prediction, decode_prediction, default_id, header
from edge.errors import BadDataError
from edge.letter import DeadLetter
from edge.records import Record

MAX_WAITING = 20_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_WAIT_S = 60.0
"""How many requests, of how many bytes, wait how long for their predictions."""

GRACE_S = 0.5
"""A prediction that was read before its request waits so long for it, and is then shown without its image."""

MAX_ANSWERED = 10_000
"""Of so many answered requests the ids are known, by which a repeated prediction is recognised."""


_MAX_ID_CHARACTERS = 200
"""Of a longer id a hash is kept in its place: whoever may write requests may name them by megabytes."""


class Answer(NamedTuple):
    """A prediction with its request, None when that was not seen.

    `seen_ns` is when it was read, since 1970; None when it was there before anybody looked.
    """

    prediction: Prediction
    record: Record
    request: Record | None
    seen_ns: int | None


class Rejected(NamedTuple):
    """A dead letter, with the id that its request has."""

    id: str
    letter: DeadLetter


class _Waiting(NamedTuple):
    request: Record
    since: float
    is_old: bool


class _Early(NamedTuple):
    prediction: Prediction
    record: Record
    seen_ns: int | None
    since: float


@dataclass
class Counts:
    """What did not become an answer: requests forgotten unanswered, predictions repeated, and those unreadable."""

    forgotten: int = 0
    repeated: int = 0
    unreadable: int = 0


class Join:
    """Takes records as they are read from three topics, in any order; `now` is the monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._waiting_bytes = 0
        self._early: OrderedDict[str, _Early] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many requests wait for their predictions, of those that came since somebody looks."""
        return sum(not waiting.is_old for waiting in self._waiting.values())

    def request(self, record: Record, now: float, is_old: bool = False) -> Answer | None:
        """A request was read: the answer, if its prediction was read before.

        One that is old may have been answered before anybody looked: it is not counted when it is forgotten.
        """
        name = header(record, REQUEST_ID) or default_id(record)
        if (early := self._early.pop(name, None)) is not None:
            return self._answer(early, record)
        if _key(name) not in self._answered and name not in self._waiting:
            self._waiting[name] = _Waiting(record, now, is_old)
            self._waiting_bytes += _size(record)
        while len(self._waiting) > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            self._forget_oldest()
        return None

    def prediction(self, record: Record, now: float, seen_ns: int | None) -> Answer | None:
        """A prediction was read: the answer, unless it has to wait for its request, or is of no use."""
        try:
            prediction = decode_prediction(record)
        except BadDataError:
            self.counts.unreadable += 1
            return None
        if _key(prediction.id) in self._answered or prediction.id in self._early:
            self.counts.repeated += 1
            return None
        early = _Early(prediction, record, seen_ns, now)
        if (request := self._take(prediction.id)) is not None:
            return self._answer(early, request)
        self._early[prediction.id] = early
        return None

    def dead_letter(self, record: Record) -> Rejected:
        """A dead letter was read: nobody waits for its request's prediction any more."""
        letter = DeadLetter(record)
        name = header(record, REQUEST_ID) or letter.origin
        self._settle(name)
        self._take(name)
        return Rejected(name, letter)

    def due(self, now: float) -> list[Answer]:
        """Predictions that have waited in vain for their requests; requests that have done so are forgotten."""
        answers: list[Answer] = []
        while self._early:
            early = next(iter(self._early.values()))
            if now - early.since <= GRACE_S and len(self._early) <= MAX_WAITING:
                break
            del self._early[early.prediction.id]
            answers.append(self._answer(early, None))
        while self._waiting and now - next(iter(self._waiting.values())).since > MAX_WAIT_S:
            self._forget_oldest()
        return answers

    def _answer(self, early: _Early, request: Record | None) -> Answer:
        self._settle(early.prediction.id)
        return Answer(early.prediction, early.record, request, early.seen_ns)

    def _settle(self, name: str) -> None:
        self._answered[_key(name)] = None
        if len(self._answered) > MAX_ANSWERED:
            self._answered.popitem(last=False)

    def _take(self, name: str) -> Record | None:
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            return None
        self._waiting_bytes -= _size(waiting.request)
        return waiting.request

    def _forget_oldest(self) -> None:
        _, waiting = self._waiting.popitem(last=False)
        self._waiting_bytes -= _size(waiting.request)
        self.counts.forgotten += not waiting.is_old


def _key(name: str) -> str:
    return name if len(name) <= _MAX_ID_CHARACTERS else hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def _size(record: Record) -> int:
    headers = sum(len(name) + len(content or b"") for name, content in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers
