"""How soon new predictions come after a fault, and how many come again."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from edge.records import Record


@dataclass(frozen=True)
class Injected:
    """A fault that was: when it began, and when recovery could begin, in nanoseconds since 1970."""

    name: str
    began_ns: int
    over_ns: int


@dataclass(frozen=True)
class Recovery:
    """What followed one fault: seconds to the first new prediction, and answers given again before the next one."""

    name: str
    seconds: float | None
    duplicates: int


def recoveries(injected: Sequence[Injected], predictions: Sequence[Record]) -> list[Recovery]:
    """What followed each fault, by the broker's clock; a new prediction is one whose question had none before."""
    new, again = _new_and_again_ms(predictions)
    ordered = sorted(injected, key=lambda fault: fault.began_ns)
    nexts = [fault.began_ns / 1e6 for fault in ordered[1:]] + [float("inf")]
    found = []
    for fault, next_ms in zip(ordered, nexts, strict=True):
        repeated = bisect.bisect_left(again, next_ms) - bisect.bisect_left(again, fault.began_ns / 1e6)
        found.append(Recovery(fault.name, _seconds_to_the_first(new, fault, ordered), repeated))
    return found


def longest_silence_s(predictions: Sequence[Record]) -> float:
    """The longest time from one new prediction to the next, in seconds."""
    new, _ = _new_and_again_ms(predictions)
    return max((later - earlier for earlier, later in itertools.pairwise(new)), default=0) / 1000


def _new_and_again_ms(predictions: Sequence[Record]) -> tuple[list[int], list[int]]:
    """When the broker got the first prediction of each question, and when the others, in milliseconds since 1970."""
    seen: set[bytes | None] = set()
    new: list[int] = []
    again: list[int] = []
    for record in sorted(predictions, key=lambda record: (record.timestamp_ms, record.partition, record.offset)):
        name = dict(record.headers).get("request-id")
        (again if name in seen else new).append(record.timestamp_ms)
        seen.add(name)
    return new, again


def _seconds_to_the_first(new: list[int], fault: Injected, injected: list[Injected]) -> float | None:
    """From the end of a fault to the first new prediction; None when another fault came into its way."""
    first = bisect.bisect_left(new, fault.over_ns / 1e6)
    if first == len(new):
        return None
    others = [other for other in injected if other is not fault]
    if any(other.began_ns / 1e6 < new[first] and other.over_ns > fault.over_ns for other in others):
        return None
    return (new[first] - fault.over_ns / 1e6) / 1000
