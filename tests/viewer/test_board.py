"""Pages read events at their own pace; a budget spreads what is shown."""

import itertools
import json

import pytest

from viewer.board import MAX_EVENTS, Board, Budget
from viewer.mine import MAX_MINE, Mine


def test_each_page_gets_what_it_has_not_had() -> None:
    board = Board()
    for n in range(3):
        board.put("prediction", {"n": n})
    assert [json.loads(event.data)["n"] for event in board.after(0)] == [0, 1, 2]
    assert [event.number for event in board.after(2)] == [3]
    assert board.after(3) == []


def test_a_page_that_is_too_slow_misses_the_oldest() -> None:
    board = Board()
    for n in range(3 * MAX_EVENTS):
        board.put("prediction", {"n": n})
    events = board.after(5)
    assert len(events) == MAX_EVENTS
    assert [event.number for event in events] == list(range(2 * MAX_EVENTS + 1, 3 * MAX_EVENTS + 1))


def test_an_event_is_one_line_whatever_is_in_it() -> None:
    board = Board()
    board.put("dead", {"reason": "a\n\ndata: b\r\u2028"})
    assert "\n" not in board.after(0)[0].data
    assert "\r" not in board.after(0)[0].data
    with pytest.raises(ValueError, match="not JSON compliant"):
        board.put("dead", {"x": float("nan")})


def test_a_budget_lets_through_what_comes_slowly_and_samples_what_comes_fast() -> None:
    slow = Budget(20)
    assert all(slow.takes(100 + n / 10) for n in range(100))
    fast = Budget(20)
    taken = [n / 1000 for n in range(10_000) if fast.takes(100 + n / 1000)]
    assert 20 * 10 <= len(taken) <= 20 * 10 + 20
    late = [moment for moment in taken if moment >= 5]
    assert max(b - a for a, b in itertools.pairwise(late)) < 0.06


def test_own_requests_are_known_up_to_a_bound() -> None:
    mine = Mine()
    for n in range(MAX_MINE + 5):
        mine.add(str(n))
    assert "4" not in mine
    assert "5" in mine
    assert len(mine._ids) == MAX_MINE
