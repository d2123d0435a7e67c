"""Scenarios without a broker: the search for a rate, on systems whose limit is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.latency.conditions import Conditions, interleaved
from bench.latency.server import GRAIN, LEAST_RATE, MOST_RATE, document, highest_rate, line
from bench.load.trace import Trace
from bench.systems import Running, System
from tests.bench.answers import trace_of

CONDITIONS = Conditions(100, "poisson", 1, 0, 1, 100, 10, 100, 1, 0)


@pytest.mark.parametrize("limit", [12.0, 99.0, 100.0, 101.0, 730.0, 5_000.0, 49_000.0])
@pytest.mark.parametrize("start", [1.0, 100.0, 40_000.0])
def test_the_search_finds_the_limit_of_a_system(limit: float, start: float) -> None:
    tried: list[float] = []

    def is_kept(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    kept, failed = highest_rate(is_kept, start)
    assert failed is not None
    assert kept <= limit < failed <= kept * GRAIN
    assert {kept, failed} <= set(tried)
    assert len(tried) <= 24


def test_the_search_ends_where_nothing_is_kept_and_where_all_is() -> None:
    assert highest_rate(lambda _: False, 100) == (0.0, LEAST_RATE)
    assert highest_rate(lambda _: True, 100) == (MOST_RATE, None)


def test_the_search_ends_on_a_system_that_answers_by_chance() -> None:
    chance = np.random.default_rng(0)
    for _ in range(100):
        kept, failed = highest_rate(lambda _: bool(chance.random() < 0.5), 100)
        assert failed is None or kept < failed


def test_a_step_is_kept_only_with_every_answer_and_a_p99_within_the_bound() -> None:
    good = document(trace_of([9.0] * 700), 100, CONDITIONS)
    assert good["is_kept"]
    assert "kept" in line(good)
    assert not document(trace_of([9.0] * 600), 100, CONDITIONS)["is_kept"]
    assert not document(trace_of([9.0] * 680 + [11.0] * 20), 100, CONDITIONS)["is_kept"]
    lossy = trace_of([9.0] * 700)
    lossy.answers[0], lossy.received_s[0] = 0, np.nan
    assert not document(lossy, 100, CONDITIONS)["is_kept"]
    cut = trace_of([9.0] * 700)
    cut.is_cut = True
    assert "overloaded" in line(document(cut, 100, CONDITIONS))


class Recorded:
    """An app and a driver that only note what was asked of them."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def warm_up(self, _: object, rate_per_s: float, duration_s: float) -> None:
        self.calls.append(f"{self.name} warms up {rate_per_s:g}/s {duration_s:g} s")

    def check(self) -> None:
        self.calls.append(f"{self.name} runs")


def test_systems_take_turns_and_none_of_them_always_comes_first() -> None:
    calls: list[str] = []
    fakes: Any = [Recorded(name, calls) for name in "abc"]
    started = [Running(System(fake.name, "no.module"), fake, fake) for fake in fakes]
    conditions = replace(CONDITIONS, rounds=3, warm_up_s=2.0)

    def measured(each: Running, number: int) -> Trace:
        calls.append(f"{each.system.name}{number}")
        return trace_of([float(number)])

    traces = interleaved(started, conditions, measured)
    order = [call for call in calls if len(call) == 2]
    assert order == ["a0", "b0", "c0", "b1", "c1", "a1", "c2", "a2", "b2"]
    assert calls[:3] == [f"{name} warms up 100/s 2 s" for name in "abc"]
    assert calls[3:6] == ["a warms up 100/s 0.5 s", "a0", "a runs"]
    assert list(traces) == ["a", "b", "c"]
    assert [len(each) for each in traces.values()] == [3, 3, 3]


def test_even_the_lowest_rate_sends_something() -> None:
    assert len(CONDITIONS.due(0.001, 0.001, 0)) == 1
