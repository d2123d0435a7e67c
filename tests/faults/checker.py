"""The verdict on a history, in the manner of Jepsen: a pure function of what was asked and what the topics hold."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge.classifier import EXACTLY_ONCE
from edge.records import Record
from tests.faults.history import History, Question, number_of

TOLERANCE = 1e-4
"""How far a confidence may lie from the one that the same model gave in advance, in another batch."""

_ERRORS = "__connect.errors."


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a history: numbers of questions, or one sentence for each finding.

    `logged` counts the records of the request topic; `duplicated` and `poison_repeated` the surplus answers and dead
    letters of each question.
    """

    logged: int
    acknowledged: int
    unacknowledged: int
    lost: tuple[int, ...]
    duplicated: Counter[int]
    wrong: tuple[str, ...]
    out_of_order: tuple[str, ...]
    dead_lettered: tuple[str, ...]
    poison: int
    poison_missing: tuple[int, ...]
    poison_repeated: Counter[int]

    @property
    def duplicates(self) -> int:
        """How many answers came again."""
        return self.duplicated.total()

    @property
    def duplicated_share(self) -> float:
        """Surplus answers for each request."""
        return self.duplicates / max(1, self.logged)

    def failures(self, delivery: str, allowed_duplicates: int) -> list[str]:
        """One line for each promise of `delivery` that the history breaks."""
        allowed = 0 if delivery == EXACTLY_ONCE else allowed_duplicates
        broken: list[tuple[str, Sequence[object]]] = [
            ("lost", self.lost),
            ("wrong", self.wrong),
            ("out of order", self.out_of_order),
            ("dead-lettered unexpectedly", self.dead_lettered),
            ("poison without a dead letter", self.poison_missing),
        ]
        if delivery == EXACTLY_ONCE:
            broken.append(("poison dead-lettered more than once", sorted(self.poison_repeated)))
        found = [f"{len(items)} {name}: {_some(items)}" for name, items in broken if items]
        if self.duplicates > allowed:
            found.append(f"{self.duplicates} duplicated ({allowed} allowed): {_some(sorted(self.duplicated))}")
        return found


def check(history: History) -> Verdict:
    """Compare what came out with what was asked.

    Lost is what the sender had an acknowledgement for, or what the request topic holds, and nobody answered.
    First answers of each key must come in the order in which its requests stand in their topic.
    """
    logged = Counter(map(number_of, history.requests))
    answers = list(_answers(history))
    answered = Counter(number for number, _ in answers)
    good = {number for number, question in history.questions.items() if question.expected is not None}
    asked = {*history.acknowledged, *logged}
    poison = asked - good
    letters = Counter(_letters(history))
    return Verdict(
        logged=logged.total(),
        acknowledged=len(history.acknowledged),
        unacknowledged=len(history.questions) - len(history.acknowledged),
        lost=tuple(sorted((asked & good) - set(answered))),
        duplicated=_surplus(answered, logged, good),
        wrong=(*_wrong_answers(history, answers), *_wrong_letters(history)),
        out_of_order=tuple(_out_of_order(history, answers)),
        dead_lettered=tuple(_unexpected_letters(history, good)),
        poison=len(poison),
        poison_missing=tuple(sorted(poison - set(letters))),
        poison_repeated=_surplus(letters, logged, poison),
    )


def _answers(history: History) -> Iterator[tuple[int, Record]]:
    """Each prediction with the number of the question that its id names; -1 when it names none."""
    for record in history.predictions:
        found = str(_document(record).get("id"))
        yield int(found) if found.isdecimal() and int(found) in history.questions else -1, record


def _document(record: Record) -> dict[str, Any]:
    try:
        document = json.loads(record.value or b"")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _surplus(found: Counter[int], logged: Counter[int], among: set[int]) -> Counter[int]:
    """How often too many: a request that stands in its topic twice may be answered twice."""
    return Counter(
        {n: count - max(1, logged[n]) for n, count in found.items() if n in among and count > max(1, logged[n])}
    )


def _wrong_answers(history: History, answers: list[tuple[int, Record]]) -> Iterator[str]:
    for number, record in answers:
        if number < 0:
            yield f"{_place(record)} answers no question"
            continue
        yield from (f"{_place(record)} ({number}): {fault}" for fault in _faults(history, number, record))


def _faults(history: History, number: int, record: Record) -> Iterator[str]:
    question, document = history.questions[number], _document(record)
    if question.expected is None:
        yield "poison was answered"
        return
    if document.get("class") != question.expected.class_index:
        yield f"class {document.get('class')} instead of {question.expected.class_index}"
    confidence = document.get("confidence")
    if not isinstance(confidence, int | float) or abs(confidence - question.expected.confidence) > TOLERANCE:
        yield f"confidence {confidence} instead of {question.expected.confidence}"
    if document.get("sha256") != history.sha256:
        yield f"model {document.get('sha256')} instead of {history.sha256}"
    if record.key != question.key:
        yield f"key {record.key!r} instead of {question.key!r}"
    headers = list(record.headers)
    missing = [name for name, value in question.copied if (name, value) not in headers]
    if missing:
        yield f"without the header {', '.join(missing)}"


def _out_of_order(history: History, answers: list[tuple[int, Record]]) -> Iterator[str]:
    place: dict[int, int] = {}
    for position, request in enumerate(history.requests):
        place.setdefault(number_of(request), position)
    latest: dict[bytes | None, tuple[int, int]] = {}
    seen: set[int] = set()
    for number, record in answers:
        if number in seen or number not in place:
            continue
        seen.add(number)
        before = latest.get(record.key)
        if before is not None and before[0] > place[number]:
            yield f"{number} comes after {before[1]}, of the same key {record.key!r}"
        else:
            latest[record.key] = (place[number], number)


def _letters(history: History) -> Iterator[int]:
    """The number of the request of each dead letter, by the partition and offset that it names; -1 for none."""
    numbers = {(r.partition.number, r.offset): number_of(r) for r in history.requests}
    for record in history.dead_letters:
        headers = dict(record.headers)
        partition, offset = (headers.get(_ERRORS + name) or b"-1" for name in ("partition", "offset"))
        yield numbers.get((int(partition), int(offset)), -1)


def _unexpected_letters(history: History, good: set[int]) -> Iterator[str]:
    for number, record in zip(_letters(history), history.dead_letters, strict=True):
        if number < 0:
            yield f"{_place(record)} names no request"
        elif number in good:
            reason = dict(record.headers).get(_ERRORS + "exception.message") or b""
            yield f"{number}: {reason.decode('utf-8', 'replace')}"


def _wrong_letters(history: History) -> Iterator[str]:
    for number, record in zip(_letters(history), history.dead_letters, strict=True):
        question = history.questions.get(number)
        if question is not None and not _is_faithful(question, record):
            yield f"{_place(record)} ({number}): the dead letter has not the request's key, value and headers"


def _is_faithful(question: Question, record: Record) -> bool:
    headers = question.headers
    return (record.key, record.value, list(record.headers)[: len(headers)]) == (question.key, question.value, headers)


def _place(record: Record) -> str:
    return f"{record.partition.topic}-{record.partition.number} offset {record.offset}"


def _some(items: Sequence[object]) -> str:
    shown = "; ".join(map(str, items[:5]))
    return shown if len(items) <= 5 else f"{shown}; …"
