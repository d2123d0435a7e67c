"""What --stats says."""

import time

import pytest

from edge.codec import Prediction
from edge.reading import Reading
from edge.records import Partition, Record
from edge.stats import MAX_LABELS, RATE_READINGS, Stats

RECORD = Record(Partition("predictions", 0), 0, 0, None, b"", [])


def reading(label: str, age_ms: float | None = None) -> Reading:
    return Reading(RECORD, Prediction("id", 0, label, 0.5, "lenet", "", 0.0, 0.0, 1), None, age_ms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_line_holds_rate_latency_lateness_and_classes(clock: list[float]) -> None:
    stats = Stats(lambda: {"unanswered": 2, "without image": 0})
    for number in range(100):
        clock[0] += 0.02
        stats.add(reading("Bag" if number % 4 else "Coat", 1001.0 if number > 97 else float(number)))
    assert stats.line() == ("50.0/s, p50 49.5 ms, p99 1001.0 ms, late 2, unanswered 2, Bag 75%, Coat 25%")


def test_what_is_not_known_is_left_out(clock: list[float]) -> None:
    stats = Stats()
    assert stats.line() == "0.0/s, late 0"
    clock[0] += 2
    for number, label in enumerate("abcde"):
        stats.add(reading(label, [None, -5.0, 3.0, 4.0, 9.0][number]))
    # Nobody knows a 99th percentile of three values.
    assert stats.line() == "2.5/s, p50 4.0 ms, late 0, a 20%, b 20%, c 20%, 2 more"


def test_the_rate_is_that_of_the_last_seconds(clock: list[float]) -> None:
    stats = Stats()
    for _ in range(600):
        clock[0] += 0.125
        stats.add(reading("a"))
    assert stats.line().startswith("8.0/s")
    clock[0] += 2.5
    assert stats.line().startswith("4.0/s")
    clock[0] += 10
    assert stats.line().startswith("0.0/s")
    for _ in range(2 * RATE_READINGS):
        clock[0] += 1e-5
        stats.add(reading("a"))
    assert float(stats.line().split("/")[0]) == pytest.approx(100_000, rel=0.01)


def test_labels_from_messages_take_bounded_memory_and_steer_nothing() -> None:
    stats = Stats()
    for number in range(2 * MAX_LABELS):
        stats.add(reading(f"{number}"))
    assert len(stats._classes) == MAX_LABELS + 1
    assert "other labels 50%" in stats.line()
    hostile = Stats()
    hostile.add(reading("\x1b[2J\r\n" + "x" * 100_000))
    assert hostile.line().endswith("late 0, \ufffd[2J\ufffd\ufffdxxxxxxxxxx 100%")
