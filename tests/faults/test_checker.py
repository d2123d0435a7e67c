"""The checker finds each kind of fault in a history made by hand, and none in a good one."""

import json
from dataclasses import replace

import pytest

from edge.classifier import AT_LEAST_ONCE, EXACTLY_ONCE
from edge.records import Partition, Record
from tests.faults.checker import check
from tests.faults.history import Expected, History, Question

SHA256 = "0123456789ab"
POISONED = 3


def question(number: int) -> Question:
    key = f"device-{number % 2}".encode()
    if number == POISONED:
        return Question(number, key, None, (), (), None)
    return Question(number, key, b"image", (("request-id", str(number).encode()),), (), Expected(number, 0.5))


QUESTIONS = {number: question(number) for number in range(6)}


def request(number: int, offset: int | None = None) -> Record:
    asked = QUESTIONS[number]
    return Record(Partition("in", 0), number if offset is None else offset, 0, asked.key, asked.value, asked.headers)


def prediction(number: int, **changes: object) -> Record:
    document = {"id": str(number), "class": number, "confidence": 0.50001, "sha256": SHA256, **changes}
    asked = QUESTIONS[number % len(QUESTIONS)]
    return Record(Partition("out", 0), 0, 0, asked.key, json.dumps(document).encode(), list(asked.copied))


def letter(number: int, offset: int | None = None) -> Record:
    found = str(number if offset is None else offset).encode()
    reason = [("__connect.errors.partition", b"0"), ("__connect.errors.offset", found)]
    asked = QUESTIONS[number]
    return Record(Partition("dead", 0), 0, 0, asked.key, asked.value, [*asked.headers, *reason])


GOOD = History(
    questions=QUESTIONS,
    acknowledged=frozenset(range(5)),
    requests=[request(number) for number in range(6)],
    predictions=[prediction(number) for number in (0, 2, 1, 4, 5)],
    dead_letters=[letter(POISONED)],
    sha256=SHA256,
)


def test_a_good_history_has_no_failure() -> None:
    verdict = check(GOOD)
    assert verdict.failures(EXACTLY_ONCE, 0) == []
    assert (verdict.logged, verdict.acknowledged, verdict.unacknowledged, verdict.poison) == (6, 5, 1, 1)


def without(number: int) -> list[Record]:
    return [record for record in GOOD.predictions if json.loads(record.value or b"")["id"] != str(number)]


BAD: dict[str, tuple[History, str]] = {
    "an acknowledged question that nobody answered": (replace(GOOD, predictions=without(2)), "1 lost: 2"),
    "a logged question without acknowledgement or answer": (replace(GOOD, predictions=without(5)), "1 lost: 5"),
    "an acknowledged question that the topic lacks": (
        replace(GOOD, requests=[*GOOD.requests[:4], GOOD.requests[5]], predictions=without(4)),
        "1 lost: 4",
    ),
    "an answer twice": (replace(GOOD, predictions=[*GOOD.predictions, prediction(1)]), "1 duplicated (0 allowed): 1"),
    "another class": (replace(GOOD, predictions=[*without(5), prediction(5, **{"class": 4})]), "class 4 instead of 5"),
    "another confidence": (
        replace(GOOD, predictions=[*without(5), prediction(5, confidence=0.5002)]),
        "confidence 0.5002 instead of 0.5",
    ),
    "no confidence": (replace(GOOD, predictions=[*without(5), prediction(5, confidence=None)]), "confidence None"),
    "another model": (replace(GOOD, predictions=[*without(5), prediction(5, sha256="ffff")]), "model ffff instead"),
    "another key": (
        replace(GOOD, predictions=[*without(5), prediction(5)._replace(key=b"device-9")]),
        "key b'device-9' instead of b'device-1'",
    ),
    "a lost header": (
        replace(GOOD, predictions=[*without(5), prediction(5)._replace(headers=[])]),
        "without the header request-id",
    ),
    "an answer to nothing": (replace(GOOD, predictions=[*GOOD.predictions, prediction(77)]), "answers no question"),
    "an answer that is no JSON": (
        replace(GOOD, predictions=[*GOOD.predictions, prediction(1)._replace(value=b"{")]),
        "answers no question",
    ),
    "answered poison": (
        replace(GOOD, predictions=[prediction(number) for number in (0, 2, 1, POISONED, 4, 5)]),
        "poison was answered",
    ),
    "one key's answers in another order": (
        replace(GOOD, predictions=[prediction(number) for number in (2, 0, 1, 4, 5)]),
        "1 out of order: 0 comes after 2, of the same key b'device-0'",
    ),
    "a good question among the dead letters": (
        replace(GOOD, dead_letters=[*GOOD.dead_letters, letter(1)]),
        "1 dead-lettered unexpectedly: 1: ",
    ),
    "a dead letter of nothing": (
        replace(GOOD, dead_letters=[*GOOD.dead_letters, letter(1, offset=99)]),
        "names no request",
    ),
    "poison without a dead letter": (replace(GOOD, dead_letters=[]), "1 poison without a dead letter: 3"),
    "a dead letter that lost its key": (
        replace(GOOD, dead_letters=[letter(POISONED)._replace(key=None)]),
        "has not the request's key",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_has_exactly_its_failure(name: str) -> None:
    history, finding = BAD[name]
    (failure,) = check(history).failures(AT_LEAST_ONCE, 0)
    assert finding in failure


def test_order_holds_within_a_key_only_and_for_first_answers_only() -> None:
    again = [prediction(number) for number in (0, 1, 2, 0, 2, 4, 1, 5)]
    verdict = check(replace(GOOD, predictions=again))
    assert verdict.out_of_order == ()
    assert verdict.duplicates == 3
    assert verdict.duplicated_share == 0.5
    assert verdict.failures(AT_LEAST_ONCE, 3) == []
    assert len(verdict.failures(EXACTLY_ONCE, 3)) == 1


def test_the_order_is_that_of_the_topic_and_not_that_of_the_numbers() -> None:
    swapped = [request(number, offset) for offset, number in enumerate((2, 0, 1, 3, 4, 5))]
    assert check(replace(GOOD, requests=swapped)).failures(AT_LEAST_ONCE, 0) == [
        "1 out of order: 2 comes after 0, of the same key b'device-0'"
    ]


def test_a_question_that_stands_in_its_topic_twice_may_be_answered_twice() -> None:
    history = replace(
        GOOD,
        requests=[*GOOD.requests, request(1, 6), request(POISONED, 7)],
        predictions=[*GOOD.predictions, prediction(1)],
        dead_letters=[*GOOD.dead_letters, letter(POISONED, 7)],
    )
    assert check(history).failures(EXACTLY_ONCE, 0) == []


def test_a_second_dead_letter_is_allowed_at_least_once_and_not_exactly_once() -> None:
    verdict = check(replace(GOOD, dead_letters=[letter(POISONED), letter(POISONED)]))
    assert verdict.failures(AT_LEAST_ONCE, 0) == []
    assert verdict.failures(EXACTLY_ONCE, 0) == ["1 poison dead-lettered more than once: 3"]


def test_an_unacknowledged_question_that_is_nowhere_is_not_lost() -> None:
    history = replace(GOOD, requests=GOOD.requests[:5], predictions=without(5))
    assert check(history).failures(EXACTLY_ONCE, 0) == []
