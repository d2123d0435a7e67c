"""What --stats tells of the predictions that were read: how many a second, how late, of which classes."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import numpy as np

from edge.reading import Reading
from edge.terminal import clipped

RATE_S, RATE_READINGS = 5.0, 20_000
"""The rate is that of the last RATE_S, or of so many predictions if there were more."""
AGES, AGES_FOR_P99 = 1_000, 100
"""Latency is told of so many predictions, and its p99 only of as many as give one."""
LATE_MS = 1_000.0
MAX_LABELS, SHOWN_LABELS, LABEL_COLUMNS = 1_000, 3, 16
"""Labels come from messages: so many are told apart, the rest is counted together."""


class Stats:
    """Counts predictions; safe to use from two threads. `others` says more, as names with numbers.

    Latency is the age of the image when its prediction was read, so it holds the wait of a backlog, too; where the
    sender's clock is ahead of this device's there is none.
    """

    def __init__(self, others: Callable[[], dict[str, int]] = dict) -> None:
        self._others = others
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._moments: deque[float] = deque(maxlen=RATE_READINGS)
        self._ages: deque[float] = deque(maxlen=AGES)
        self._classes: Counter[str] = Counter()
        self._late = 0

    def add(self, reading: Reading) -> None:
        """Count a prediction."""
        label, age_ms = clipped(reading.prediction.label, LABEL_COLUMNS), reading.age_ms
        with self._lock:
            self._moments.append(time.monotonic())
            self._classes[label if label in self._classes or len(self._classes) < MAX_LABELS else "other labels"] += 1
            if age_ms is not None and age_ms >= 0:
                self._ages.append(age_ms)
                self._late += age_ms > LATE_MS

    def line(self) -> str:
        """All that in one line."""
        with self._lock:
            parts = [f"{self._rate():.1f}/s", *self._latency(), f"late {self._late}"]
            parts += [f"{name} {number}" for name, number in self._others().items() if number]
            return ", ".join([*parts, *self._shares()])

    def _rate(self) -> float:
        now = time.monotonic()
        since = max(now - RATE_S, min(self._started, now - 1.0))
        if len(self._moments) == RATE_READINGS:
            since = max(since, self._moments[0])
        return sum(moment > since for moment in self._moments) / (now - since)

    def _latency(self) -> list[str]:
        if not self._ages:
            return []
        ages = np.fromiter(self._ages, np.float64)
        wanted = (50, 99) if len(ages) >= AGES_FOR_P99 else (50,)
        return [f"p{each} {np.percentile(ages, each):.1f} ms" for each in wanted]

    def _shares(self) -> list[str]:
        total, most = self._classes.total(), self._classes.most_common(SHOWN_LABELS)
        rest = len(self._classes) - len(most)
        shares = [f"{label} {count / total:.0%}" for label, count in most]
        return [*shares, f"{rest} more"] if rest else shares
