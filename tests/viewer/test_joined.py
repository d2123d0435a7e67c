"""Requests and predictions meet by their ids, in whatever order they are read, and nothing is kept without bound."""

import pytest

from edge.contract import Contract
from edge.records import Record
from tests.viewer.records import PREDICTIONS, dead_letter, prediction, request
from viewer import joined
from viewer.joined import GRACE_S, MAX_WAIT_S, Join


def test_a_prediction_finds_its_request_by_its_id(contract: Contract) -> None:
    join, asked = Join(), request(7, "one")
    assert join.request(asked, 0.0) is None
    answer = join.prediction(prediction(asked, contract), 0.1, 5)
    assert answer is not None
    assert (answer.request, answer.prediction.label, answer.seen_ns) == (asked, "j", 5)
    assert join.waiting == 0


def test_a_request_without_an_id_goes_by_its_place(contract: Contract) -> None:
    join, asked = Join(), request(7)
    join.request(asked, 0.0)
    answer = join.prediction(prediction(asked, contract), 0.1, 5)
    assert answer is not None
    assert answer.prediction.id == "asked-0-7"
    assert answer.request == asked


def test_a_prediction_that_is_read_first_waits_for_its_request(contract: Contract) -> None:
    join, asked = Join(), request(0, "one")
    assert join.prediction(prediction(asked, contract), 0.0, 5) is None
    assert join.due(GRACE_S / 2) == []
    answer = join.request(asked, GRACE_S / 2)
    assert answer is not None
    assert (answer.request, answer.seen_ns) == (asked, 5)
    assert join.due(2 * GRACE_S) == []


def test_a_prediction_whose_request_does_not_come_is_shown_without_it(contract: Contract) -> None:
    join, asked = Join(), request(0, "one")
    join.prediction(prediction(asked, contract), 0.0, 5)
    (answer,) = join.due(GRACE_S + 0.1)
    assert answer.request is None
    assert join.request(asked, GRACE_S + 0.2) is None
    assert join.waiting == 0


def test_a_request_whose_prediction_does_not_come_is_forgotten_and_counted() -> None:
    join = Join()
    join.request(request(0, "one"), 0.0)
    join.request(request(1, "old"), 1.0, is_old=True)
    join.due(MAX_WAIT_S)
    assert (join.waiting, join.counts.forgotten) == (1, 0)
    join.due(MAX_WAIT_S + 0.5)
    assert (len(join._waiting), join.waiting, join.counts.forgotten) == (1, 0, 1)
    join.due(MAX_WAIT_S + 1.5)
    assert (join.waiting, join.counts.forgotten) == (0, 1)


def test_a_prediction_that_comes_twice_is_counted_and_shown_once(contract: Contract) -> None:
    join, asked = Join(), request(0, "one")
    join.request(asked, 0.0)
    answer = prediction(asked, contract)
    assert join.prediction(answer, 0.0, 5) is not None
    assert join.prediction(answer, 0.1, 5) is None
    join.request(asked, 0.2)
    assert (join.counts.repeated, join.waiting) == (1, 0)


def test_a_dead_letter_settles_its_request() -> None:
    join = Join()
    for asked in (request(0, "one"), request(1)):
        join.request(asked, 0.0)
        rejected = join.dead_letter(dead_letter(asked))
        assert rejected.letter.reason == "it is no image"
    assert rejected.id == "asked-0-1"
    join.due(2 * MAX_WAIT_S)
    assert (join.waiting, join.counts.forgotten) == (0, 0)


@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"id": 1}', b"\xff", b"[" * 10_000])
def test_what_is_no_prediction_is_counted(value: bytes | None) -> None:
    join = Join()
    assert join.prediction(Record(PREDICTIONS, 0, 0, None, value, []), 0.0, 5) is None
    assert join.counts.unreadable == 1


def test_waiting_requests_are_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "MAX_WAITING", 10)
    monkeypatch.setattr(joined, "MAX_WAITING_BYTES", 5000)
    join = Join()
    for n in range(30):
        join.request(request(n, str(n), value=b"x"), 0.0)
    assert (join.waiting, join.counts.forgotten) == (10, 20)
    for n in range(30, 40):
        join.request(request(n, str(n), value=bytes(1000)), 0.0)
    assert join.waiting == 4
    join.request(request(40, "40", value=bytes(6000)), 0.0)
    assert join.waiting == 0
    assert join._waiting_bytes == 0


def test_of_long_ids_little_is_kept_and_they_are_known_again(contract: Contract) -> None:
    join = Join()
    for n in range(3):
        name = "a" * 100_000 + str(n)
        asked = request(n, name)
        assert join.request(asked, 0.0) is None
        assert join.prediction(prediction(asked, contract), 0.0, 5) is not None
        assert join.prediction(prediction(asked, contract), 0.0, 5) is None
    assert join.counts.repeated == 3
    assert sum(map(len, join._answered)) == 3 * 64


def test_early_predictions_and_known_answers_are_bounded(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "MAX_WAITING", 10)
    monkeypatch.setattr(joined, "MAX_ANSWERED", 10)
    join = Join()
    for n in range(30):
        join.prediction(prediction(request(n, str(n)), contract), 0.0, 5)
    assert len(join.due(0.0)) == 20
    assert len(join._answered) == 10
