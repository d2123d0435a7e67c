"""What runs come to: nothing hides, and the ratio to the echo comes first."""

import numpy as np
import pytest

from bench.latency import summary, table
from bench.statistics import merged
from tests.bench.answers import classified, trace_of


def test_a_late_sender_does_not_hide_a_slow_answer() -> None:
    trace = trace_of([501.0] * 20, lag_ms=500)
    trace.answers[3], trace.received_s[3] = 0, np.nan
    trace.answers[4] = 2
    trace.received_s[5] += 1
    found = summary.of_rounds([trace], late_after_ms=1000)
    counted = {"sent": 20, "received": 19, "lost": 1, "duplicated": 1, "late": 1}
    assert {name: found[name] for name in counted} == counted
    assert found["latency_ms"]["p50"] == pytest.approx(501, rel=1e-3)
    assert found["latency_from_actual_send_ms"]["p50"] == pytest.approx(1, rel=1e-3)
    assert found["sender_lag_ms"]["max"] == pytest.approx(500)
    text = table.latencies({"systems": {"classifier": found}, "ratio_to_echo": {}})
    assert "p90 needs 64, p99 needs 662" in text
    assert "echo" not in text


def test_rounds_are_taken_together() -> None:
    rounds = [trace_of([1.0] * 40), trace_of([3.0] * 40)]
    for trace in rounds:
        trace.first = [classified(trace, number, 0.2, 0.1, 0.1, 0.4) for number in range(40)]
    found = summary.of_rounds(rounds, late_after_ms=2)
    assert (found["sent"], found["late"], found["staged"]) == (80, 40, 80)
    assert [each["late"] for each in found["rounds"]] == [0, 40]
    assert found["latency_ms"]["p90"] == pytest.approx(3, rel=1e-3)
    assert merged([found["histogram"]]).total_count == 80


def test_the_headline_is_the_ratio_to_the_echo() -> None:
    results = summary.of_systems(
        {"classifier": [trace_of([3.0] * 40), trace_of([6.0] * 24)], "echo": [trace_of([2.0] * 32)] * 2}, 100
    )
    ratio = results["ratio_to_echo"]
    assert (ratio["p50"], ratio["p90"], *ratio["rounds_p50"]) == pytest.approx((1.5, 3, 1.5, 3), rel=2e-3)
    first = table.latencies(results).splitlines()[0]
    assert first == "the classifier takes 1.50 times as long as its echo: p50, 1.50 to 3.00 in 2 rounds, p90 3.00"


def test_a_machine_that_was_too_busy_to_send_in_time_is_told_of() -> None:
    results = summary.of_systems({"classifier": [trace_of([9.0] * 700, lag_ms=5)]}, 100)
    assert "this machine was busy" in table.latencies(results)
