"""Traces: each answer goes to its request, and to none of another run."""

from typing import Any, cast

import numpy as np
import pytest

from bench.errors import AppError
from bench.load.trace import Arrivals, Limit, Trace, request_id
from tests.bench.answers import Answer


def arrivals(*answers: tuple[float, Answer]) -> Arrivals:
    found = Arrivals()
    for time_s, answer in answers:
        found.add(time_s, cast("Any", answer))
    return found


def test_the_first_answer_counts_and_strangers_do_not() -> None:
    trace = Trace(np.array([1.0, 2.0, 3.0]))
    trace.sent_s[:] = trace.intended_s
    first, again = Answer(trace.name(1)), Answer(trace.name(1))
    came = arrivals((2.5, first), (2.6, Answer("other-0")), (2.7, Answer("")), (2.8, again))
    trace.assign(came, request_id)
    assert trace.answers.tolist() == [0, 2, 0]
    assert trace.received_s[1] == 2.5
    assert trace.first[1] is cast("Any", first)
    assert trace.missing == 2
    came.add(3.5, cast("Any", Answer(trace.name(2))))
    trace.assign(came, request_id)
    assert trace.answers.tolist() == [0, 2, 1]


def test_what_a_cut_run_did_not_send_is_not_missing() -> None:
    trace = Trace(np.arange(5.0))
    trace.sent_s[:2] = 0.5
    assert trace.missing == 2
    assert trace.is_sent.tolist() == [True, True, False, False, False]


def test_an_error_of_the_client_is_raised() -> None:
    with pytest.raises(AppError, match="could not be received: broken"):
        Trace(np.zeros(1)).assign(arrivals((1.0, Answer("", error="broken"))), request_id)


def test_a_limit_counts_late_answers_and_those_that_do_not_come() -> None:
    intended = np.arange(10) / 10
    assert not Limit(0.5, 2).is_exceeded(intended, [], 0.65)
    assert Limit(0.5, 2).is_exceeded(intended, [], 0.75)
    late = Limit(0.5, 2)
    times = [0.6, 0.7]
    assert not late.is_exceeded(intended, times, 0.7)
    assert not late.is_exceeded(intended, times, 0.7)
    times += [0.71, 0.8, 0.8]
    assert late.is_exceeded(intended, times, 0.8)
    assert not Limit(0.5, 2).is_exceeded(intended, (intended + 0.4).tolist(), 100.0)
