"""The scenario `server`: the highest rate of requests whose p99 stays under a bound, found by bisection."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import click

from bench import statistics
from bench.latency import summary
from bench.latency.conditions import LEAD_IN_S, Conditions
from bench.load.trace import Limit, Trace
from bench.systems import Running, System, running
from edge.cluster import Cluster
from edge.images import Images

LEAST_RATE, MOST_RATE = 10.0, 50_000.0
"""Where the search ends: below, it would last too long; above, the driver itself is asked too much."""
GRAIN = 1.05
"""The rate is known when the lowest that failed is at most so many times the highest that did not."""
TRIES = 3
"""A rate has failed when it has so often."""
_SPARE = 1.2  # a Poisson process may bring less than its mean
_P99 = "p99"


def measure(cluster: Cluster, systems: Sequence[System], images: Images, conditions: Conditions) -> dict[str, Any]:
    """Search for each system's rate, one after the other."""
    found = {}
    for system in systems:
        with running(cluster, [system], images) as (each,):
            click.echo(f"{system.name}: p99 within {conditions.bound_ms:g} ms", err=True)
            each.driver.warm_up(each.app, conditions.rate_per_s, conditions.warm_up_s)
            found[system.name] = _search(each, conditions)
    return {"ratio_to_echo": _ratio(found), "systems": found}


def highest_rate(is_kept: Callable[[float], bool], start: float) -> tuple[float, float | None]:
    """The highest rate that `is_kept`, to a GRAIN, and the lowest that was not.

    0 when none is kept, None when none fails up to MOST_RATE. Doubles or halves from `start` on until there is one of
    each, then halves what is between, by ratio.
    """
    kept, failed, rate = 0.0, math.inf, start
    while True:
        if is_kept(rate):
            kept = rate
        else:
            failed = rate
        if kept >= MOST_RATE or failed <= LEAST_RATE or failed <= kept * GRAIN:
            return kept, None if math.isinf(failed) else failed
        if math.isinf(failed):
            rate = min(MOST_RATE, kept * 2)
        else:
            rate = math.sqrt(kept * failed) if kept else max(LEAST_RATE, failed / 2)


def _search(each: Running, conditions: Conditions) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []

    def is_kept(rate_per_s: float) -> bool:
        steps.append(_try(each, conditions, rate_per_s, len(steps)))
        click.echo(line(steps[-1]), err=True)
        return bool(steps[-1]["is_kept"])

    rate, failed = highest_rate(is_kept, conditions.rate_per_s)
    best = next((step for step in steps if step["is_kept"] and step["rate_per_s"] == rate), None)
    return {
        "rate_per_s": rate,
        "failed_rate_per_s": failed,
        "latency_ms": best["latency_ms"] if best else {},
        "histogram": best["histogram"] if best else "",
        "steps": steps,
    }


def _try(each: Running, conditions: Conditions, rate_per_s: float, number: int) -> dict[str, Any]:
    """One step; one that fails is tried again, so that a hiccup of the machine does not decide."""
    for attempt in range(TRIES):
        each.driver.warm_up(each.app, min(rate_per_s, conditions.rate_per_s), LEAD_IN_S)
        seconds = max(conditions.duration_s, _SPARE * statistics.SAMPLES_NEEDED[_P99] / rate_per_s)
        due = conditions.due(rate_per_s, seconds, TRIES * number + attempt)
        trace = each.driver.run(due, conditions.grace_s, Limit(conditions.bound_ms / 1000, len(due) // 100 + 1))
        each.app.check()
        step = document(trace, rate_per_s, conditions)
        if step["is_kept"]:
            break
    return step


def document(trace: Trace, rate_per_s: float, conditions: Conditions) -> dict[str, Any]:
    """A step for the result."""
    samples = summary.latency_ms(trace)
    latency_ms = statistics.percentiles(samples)
    is_within = latency_ms.get(_P99, math.inf) <= conditions.bound_ms
    return {
        "rate_per_s": rate_per_s,
        "is_kept": is_within and not trace.is_cut and not trace.missing,
        "is_cut": trace.is_cut,
        "planned": len(trace.intended_s),
        **summary.counts(trace, conditions.late_after_ms),
        "latency_ms": latency_ms,
        "sender_lag_ms": statistics.percentiles(summary.lag_ms(trace)),
        "histogram": statistics.encoded(samples),
    }


def line(step: dict[str, Any]) -> str:
    """One step for people."""
    shown = "  ".join(f"{name} {value:.2f}" for name, value in step["latency_ms"].items())
    verdict = "kept" if step["is_kept"] else "overloaded" if step["is_cut"] else "not kept"
    lag = step["sender_lag_ms"].get(_P99, 0.0)
    return f"{step['rate_per_s']:10.1f}/s  {verdict:10}  {shown}  (ms; {step['lost']} lost, sender's lag {lag:.2f})"


def _ratio(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    if "echo" not in found or not found["echo"]["rate_per_s"]:
        return {}
    return {"rate": round(found["classifier"]["rate_per_s"] / found["echo"]["rate_per_s"], 3)}
