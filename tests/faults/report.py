"""A run's verdict for people, for scripts, and as a row of the table in docs/reliability.md."""

import statistics
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Any

from tests.faults.experiment import Recovery, Result
from tests.faults.faults import POISON


def text(result: Result) -> str:
    """A small table, and one line for each broken promise."""
    plan, verdict = result.plan, result.verdict
    rows = [
        ("requests", f"{verdict.logged} in the topic, {verdict.acknowledged} acknowledged"),
        ("delivery", plan.delivery),
        ("faults", faults(result)),
        ("lost", str(len(verdict.lost))),
        ("duplicated", f"{verdict.duplicates} ({verdict.duplicated_share:.2%}), allowed {plan.allowed_duplicates}"),
        ("wrong", str(len(verdict.wrong))),
        ("out of order", str(len(verdict.out_of_order))),
        (
            "dead letters",
            f"{verdict.poison - len(verdict.poison_missing)} of {verdict.poison} poison, "
            f"{len(verdict.dead_lettered)} unexpected, {verdict.poison_repeated.total()} repeated",
        ),
        *((f"after {name}", _after(found)) for name, found in _by_name(result).items()),
        ("took", f"{result.seconds:.0f} s"),
    ]
    lines = [f"{name:24} {value}" for name, value in rows]
    failures = result.failures()
    return "\n".join([*lines, *(f"FAILED: {line}" for line in failures), *([] if failures else ["OK"])])


def document(result: Result) -> dict[str, Any]:
    """The same for scripts."""
    verdict = result.verdict
    return {
        **asdict(result.plan),
        "logged": verdict.logged,
        "acknowledged": verdict.acknowledged,
        "lost": verdict.lost,
        "duplicates": verdict.duplicates,
        "allowed_duplicates": result.plan.allowed_duplicates,
        "wrong": verdict.wrong,
        "out_of_order": verdict.out_of_order,
        "dead_lettered": verdict.dead_lettered,
        "poison": verdict.poison,
        "poison_missing": verdict.poison_missing,
        "poison_repeated": verdict.poison_repeated.total(),
        "recoveries": [asdict(recovery) for recovery in result.recoveries],
        "exits": [asdict(found) for found in result.exits],
        "send_errors": result.send_errors,
        "seconds": result.seconds,
        "failures": result.failures(),
    }


def faults(result: Result) -> str:
    """What was injected, counted."""
    counts = Counter(recovery.name for recovery in result.recoveries)
    poison = sum(fault.count for fault in result.plan.faults if fault.name == POISON)
    return ", ".join([*(f"{n} x {name}" for name, n in counts.items()), *([f"{poison} x {POISON}"] if poison else [])])


def _after(found: list[Recovery]) -> str:
    seconds = [recovery.seconds for recovery in found if recovery.seconds is not None]
    duplicates = [recovery.duplicates for recovery in found]
    times = (
        f"first new prediction after {statistics.median(seconds):.2f} s (max {max(seconds):.2f} s)" if seconds else "-"
    )
    return f"{times}, {statistics.mean(duplicates):.0f} duplicates (max {max(duplicates)})"


def _by_name(result: Result) -> dict[str, list[Recovery]]:
    found: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in result.recoveries:
        found[recovery.name].append(recovery)
    return found
