"""What the last minute was like, a second at a time: rate, latency, classes, devices, models; bounded in memory."""

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

WINDOW_S = 60
STEP = 1.02
"""Latencies are counted in steps of 2 %: a percentile is off by at most one."""
LEAST_MS = 0.01
MAX_NAMES = 100
"""Of so many classes, devices or models each second tells; whatever comes then is counted together."""
OTHERS = "others"

Name = TypeVar("Name")


@dataclass
class Second:
    """What came within one second."""

    number: int
    count: int = 0
    shown: int = 0
    right: int = 0
    known: int = 0
    latencies: Counter[int] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    models: Counter[tuple[str, str]] = field(default_factory=Counter)
    stages: dict[str, tuple[float, int]] = field(default_factory=dict)


class LastMinute:
    """Counts by whole seconds of a clock that the caller reads; the running second is part of no figure yet."""

    def __init__(self) -> None:
        self._seconds: deque[Second] = deque(maxlen=WINDOW_S + 1)

    def add(
        self,
        now: float,
        label: str,
        device: str,
        model: tuple[str, str],
        is_right: bool | None,
        total_ms: float | None,
        stages: Iterable[tuple[str, float | None]],
    ) -> None:
        """Count one answer."""
        second = self._at(int(now))
        second.count += 1
        second.known += is_right is not None
        second.right += bool(is_right)
        if total_ms is not None:
            second.latencies[_step(total_ms)] += 1
        _count(second.classes, label, OTHERS)
        _count(second.devices, device, OTHERS)
        _count(second.models, model, (OTHERS, ""))
        for name, took_ms in stages:
            if took_ms is not None:
                sum_ms, count = second.stages.get(name, (0.0, 0))
                second.stages[name] = sum_ms + took_ms, count + 1

    def show(self, now: float) -> None:
        """Count one answer that is put on the page."""
        self._at(int(now)).shown += 1

    def summary(self, now: float) -> dict[str, Any]:
        """Figures of the last whole minute; latencies in milliseconds, None where nothing is known."""
        first, last = int(now) - WINDOW_S, int(now)
        seconds = {second.number: second for second in self._seconds if first <= second.number < last}
        latencies: Counter[int] = _sum(second.latencies for second in seconds.values())
        every = [seconds.get(number) for number in range(first, last)]
        return {
            "rates": [0 if second is None else second.count for second in every],
            "shown": [0 if second is None else second.shown for second in every],
            "p99s": [None if second is None else percentile(second.latencies, 0.99) for second in every],
            "p50_ms": percentile(latencies, 0.50),
            "p99_ms": percentile(latencies, 0.99),
            "count": sum(second.count for second in seconds.values()),
            "right": sum(second.right for second in seconds.values()),
            "known": sum(second.known for second in seconds.values()),
            "classes": _sum(second.classes for second in seconds.values()).most_common(MAX_NAMES),
            "devices": _sum(second.devices for second in seconds.values()).most_common(MAX_NAMES),
            "models": [
                {"name": name, "sha256": sha256, "count": count}
                for (name, sha256), count in _sum(second.models for second in seconds.values()).most_common(10)
            ],
            "stages": _means(seconds.values()),
        }

    def _at(self, number: int) -> Second:
        if not self._seconds or number > self._seconds[-1].number:
            self._seconds.append(Second(number))
        return self._seconds[-1]


def percentile(latencies: Counter[int], share: float) -> float | None:
    """The latency that this share does not exceed, None when there is none."""
    rank = math.ceil(latencies.total() * share)
    passed = 0
    for step in sorted(latencies):
        passed += latencies[step]
        if passed >= rank:
            return round(LEAST_MS * STEP**step, 3)
    return None


def _step(latency_ms: float) -> int:
    return round(math.log(max(latency_ms, LEAST_MS) / LEAST_MS, STEP))


def _count(counter: Counter[Name], name: Name, others: Name) -> None:
    counter[name if name in counter or len(counter) < MAX_NAMES else others] += 1


def _sum(counters: Iterable[Counter[Name]]) -> Counter[Name]:
    total: Counter[Name] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _means(seconds: Iterable[Second]) -> dict[str, float]:
    sums: dict[str, tuple[float, int]] = {}
    for second in seconds:
        for name, (sum_ms, count) in second.stages.items():
            before = sums.get(name, (0.0, 0))
            sums[name] = before[0] + sum_ms, before[1] + count
    return {name: round(sum_ms / count, 3) for name, (sum_ms, count) in sums.items()}
