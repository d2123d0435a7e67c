"""Schedules and percentiles: fixed before the run, and never more than the samples can support."""

import numpy as np
import pytest

from bench.driver import Trace
from bench.latency import summary, table
from bench.schedule import poisson
from bench.statistics import percentiles


def test_a_schedule_is_poisson_and_the_same_for_the_same_seed() -> None:
    times = poisson(100, 1000, 7)
    np.testing.assert_array_equal(times, poisson(100, 1000, 7))
    assert len(times) == pytest.approx(100_000, rel=0.02)
    assert (np.diff(times) > 0).all()
    assert times[0] > 0
    assert times[-1] < 1000
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(0.01, rel=0.02)
    assert gaps.std() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (0, set()),
        (10, {"max"}),
        (11, {"p50", "max"}),
        (64, {"p50", "p90", "max"}),
        (661, {"p50", "p90", "max"}),
        (662, {"p50", "p90", "p99", "max"}),
        (6640, {"p50", "p90", "p99", "p99.9", "max"}),
    ],
)
def test_no_percentile_is_given_that_the_count_cannot_support(count: int, names: set[str]) -> None:
    assert set(percentiles(np.arange(count, dtype=float))) == names


def test_percentiles_are_right() -> None:
    found = percentiles(np.arange(10_001, dtype=float))
    assert found == pytest.approx({"p50": 5000, "p90": 9000, "p99": 9900, "p99.9": 9990, "max": 10_000})


def test_a_late_sender_does_not_hide_a_slow_answer() -> None:
    trace = Trace(np.arange(20, dtype=np.float64) / 10)
    trace.sent_s[:] = trace.intended_s + 0.5
    trace.received_s[:] = trace.sent_s + 0.001
    trace.answers[:] = 1
    trace.answers[3] = 0
    trace.answers[4] = 2
    found = summary(trace)
    assert (found["sent"], found["received"], found["lost"], found["duplicated"]) == (20, 19, 1, 1)
    assert found["latency_ms"]["p50"] == pytest.approx(501)
    assert found["latency_from_actual_send_ms"]["p50"] == pytest.approx(1)
    assert found["sender_lag_ms"]["max"] == pytest.approx(500)
    text = table({**found, "delivery": "at-least-once", "rate_per_s": 10, "duration_s": 2})
    assert "lost 1, duplicated 1" in text
    assert "p90 needs 64, p99 needs 662" in text
