"""The last minute's figures, by the second, and their bounds."""

from collections import Counter

import pytest

from viewer.rates import MAX_NAMES, OTHERS, STEP, LastMinute, _step, percentile

STAGES = [("queue", 1.0), ("infer", None)]


def filled(count: int, start: float = 1000.0, spacing_s: float = 0.01) -> LastMinute:
    minute = LastMinute()
    for n in range(count):
        minute.add(
            start + n * spacing_s, f"class {n % 3}", "camera", ("lenet", "abc"), n % 4 != 0, float(n % 100), STAGES
        )
    return minute


def test_counts_are_by_the_whole_second_and_the_running_one_is_left_out() -> None:
    minute = filled(250)
    summary = minute.summary(1002.9)
    assert summary["rates"][-3:] == [0, 100, 100]
    assert len(summary["rates"]) == 60
    assert summary["count"] == 200
    assert (summary["right"], summary["known"]) == (150, 200)
    assert summary["classes"] == [("class 0", 67), ("class 1", 67), ("class 2", 66)]
    assert summary["devices"] == [("camera", 200)]
    assert summary["models"] == [{"name": "lenet", "sha256": "abc", "count": 200}]
    assert summary["stages"] == {"queue": 1.0}


def test_what_is_older_than_a_minute_counts_no_more() -> None:
    minute = filled(100)
    assert minute.summary(1060.5)["count"] == 100
    assert minute.summary(1061.5)["count"] == 0


def test_a_silent_minute_has_no_latency() -> None:
    summary = LastMinute().summary(1000.0)
    assert (summary["p50_ms"], summary["p99_ms"], summary["count"]) == (None, None, 0)
    assert summary["p99s"] == [None] * 60


@pytest.mark.parametrize("share", [0.5, 0.99, 1.0])
def test_percentiles_are_within_a_step_of_the_exact_ones(share: float) -> None:
    latencies = [0.05 * 1.03**n for n in range(300)]
    counted = Counter(map(_step, latencies))
    exact = sorted(latencies)[round(share * 300) - 1]
    found = percentile(counted, share)
    assert found is not None
    assert exact / STEP <= found <= exact * STEP


def test_a_clock_that_is_behind_makes_no_negative_logarithm() -> None:
    minute = LastMinute()
    minute.add(1000.0, "a", "", ("m", "s"), None, -5.0, [])
    assert minute.summary(1001.0)["p50_ms"] == 0.01


def test_a_clock_that_steps_back_adds_to_the_newest_second() -> None:
    minute = filled(10, 1000.0)
    minute.add(990.0, "a", "", ("m", "s"), None, 1.0, [])
    assert minute.summary(1001.0)["count"] == 11


def test_memory_is_bounded_whatever_names_come() -> None:
    minute = LastMinute()
    for n in range(200_000):
        minute.add(1000.0 + n / 2000, f"label {n}", f"device {n}", (f"m{n}", ""), None, n / 7, [])
    assert len(minute._seconds) <= 61
    assert all(len(second.devices) <= MAX_NAMES + 1 for second in minute._seconds)
    summary = minute.summary(1100.0)
    assert summary["devices"][0][0] == OTHERS
    assert len(summary["devices"]) <= MAX_NAMES
