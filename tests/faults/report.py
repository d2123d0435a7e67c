"""A run's verdict for people, for scripts, and as a row of the table in docs/reliability.md."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.faults.experiment import Result
from tests.faults.faults import POISON
from tests.faults.recovery import Recovery


def text(result: Result, failures: Sequence[str]) -> str:
    """A small table, and one line for each failure."""
    plan, verdict = result.plan, result.verdict
    rows = [
        ("requests", f"{verdict.logged} in the topic, {verdict.acknowledged} acknowledged"),
        ("delivery", plan.delivery),
        ("client", plan.client),
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
        *((f"new answer after {name}", _after(found)) for name, found in _by_name(result).items()),
        ("longest silence", f"{result.silence_s:.2f} s"),
        ("log of the classifiers", f"{len(result.log)} lines"),
        ("took", f"{result.seconds:.0f} s"),
    ]
    lines = [f"{name:32} {value}" for name, value in rows]
    return "\n".join([*lines, *(f"FAILED: {line}" for line in failures), *([] if failures else ["OK"])])


def row(result: Result, failures: Sequence[str]) -> str:
    """The same as a row of Markdown."""
    plan, verdict = result.plan, result.verdict
    members = f"{plan.classifiers} classifiers" if plan.classifiers > 1 else "1 classifier"
    cells = [
        f"{faults(result)} ({members}, seed {plan.seed})",
        plan.client,
        plan.delivery,
        f"{verdict.logged:,} at {plan.rate_per_s:g}/s",
        len(verdict.lost),
        f"{verdict.duplicates} ({verdict.duplicated_share:.2%})",
        len(verdict.wrong),
        len(verdict.out_of_order),
        f"{verdict.poison - len(verdict.poison_missing)} of {verdict.poison}",
        "; ".join(f"{name}: {_times(found)}" for name, found in _by_name(result).items()),
        f"{result.silence_s:.1f} s",
        "; ".join(failures) or "ok",
    ]
    return f"| {' | '.join(map(str, cells))} |"


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
        "silence_s": result.silence_s,
        "log": result.log,
        "exits": [asdict(found) for found in result.exits],
        "send_errors": result.send_errors,
        "seconds": result.seconds,
        "failures": result.failures(),
    }


def faults(result: Result) -> str:
    """What was injected: how often, and how long where it lasts."""
    counts = Counter(recovery.name for recovery in result.recoveries)
    found = []
    for fault in result.plan.faults:
        lasts = f" of {fault.seconds:g} s" if fault.seconds else ""
        found.append(f"{fault.count if fault.name == POISON else counts[fault.name]} x {fault.name}{lasts}")
    return ", ".join(found)


def _after(found: list[Recovery]) -> str:
    duplicates = [recovery.duplicates for recovery in found]
    return f"{_times(found)}; {statistics.mean(duplicates):.0f} duplicates each (max {max(duplicates)})"


def _times(found: list[Recovery]) -> str:
    seconds = [recovery.seconds for recovery in found if recovery.seconds is not None]
    return f"{statistics.median(seconds):.2f} s (max {max(seconds):.2f} s)" if seconds else "not measured"


def _by_name(result: Result) -> dict[str, list[Recovery]]:
    found: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in result.recoveries:
        found[recovery.name].append(recovery)
    return found
