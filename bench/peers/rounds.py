"""The rounds: every system once in each, in an order of chance, on one broker."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click
import numpy as np

from bench import statistics
from bench.ceiling import ceiling
from bench.load import schedule
from bench.peers.measure import Bench, drained, latency, size_of_drain
from bench.peers.systems import System
from edge.errors import EdgeError
from edge.model import Model

RATE_PER_S = 100.0
WARM_UP_S = 5.0
"""How long a system is sent requests at that rate before its latency counts."""
DRAIN_S = 8.0
DRAIN_TIMEOUT_S = 90.0
CEILING_S = 2.0
OVERHEAD_S = 3.0
"""What starting and stopping a process takes, or writing requests and reading answers, about."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is measured, how often."""

    rounds: int
    requests: int
    seed: int
    has_latency: bool
    has_drain: bool


@dataclass
class Findings:
    """One row for each system, round and measurement; why a system is missing; and onnxruntime alone, by round."""

    rows: list[Row] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    ceilings: list[Row] = field(default_factory=list)


def seconds_of(plan: Plan) -> float:
    """How long a system takes, about, to be measured in all rounds."""
    latency_s = WARM_UP_S + plan.requests / RATE_PER_S + OVERHEAD_S if plan.has_latency else 0.0
    drain_s = DRAIN_S + 2 * OVERHEAD_S if plan.has_drain else 0.0
    return plan.rounds * (latency_s + drain_s) + (DRAIN_S + OVERHEAD_S if plan.has_drain else 0.0)


def order(systems: Sequence[System], number: int, seed: int) -> list[System]:
    """The order of one round: of chance, but the same for the same seed."""
    shuffled = list(systems)
    random.Random(f"{seed}-{number}").shuffle(shuffled)  # noqa: S311 no secret
    return shuffled


def install(systems: Sequence[System], findings: Findings) -> list[System]:
    """Those that can be measured here; of the others it notes why not."""
    return [system for system in systems if _tries(findings, system, system.install)]


def measure(bench: Bench, systems: Sequence[System], plan: Plan, findings: Findings, model: Model, batch: int) -> None:
    """All rounds; a system that fails is passed over from then on, and `findings` say why."""
    if plan.has_drain:
        for system in order(systems, -1, plan.seed):
            click.echo(f"calibrating {system.title} …", err=True)
            _tries(findings, system, partial(_calibrate, bench, system, findings))
    for number in range(plan.rounds):
        if plan.has_drain:
            found = ceiling(model, bench.images.image, batch, CEILING_S)
            findings.ceilings.append({"round": number, **vars(found)})
        for system in order(systems, number, plan.seed):
            if system.name not in findings.missing:
                _tries(findings, system, partial(_round, bench, system, plan, number, findings))


def _tries(findings: Findings, system: System, step: Callable[[], object]) -> bool:
    try:
        step()
    except EdgeError as error:
        findings.missing[system.name] = error.message
        click.echo(f"{system.title} is left out: {error.message}", err=True)
        return False
    return True


def _calibrate(bench: Bench, system: System, findings: Findings) -> None:
    findings.sizes[system.name] = size_of_drain(bench, system, DRAIN_S, DRAIN_TIMEOUT_S)


def _round(bench: Bench, system: System, plan: Plan, number: int, findings: Findings) -> None:
    label = f"round {number + 1} of {plan.rounds}: {system.title}"
    if plan.has_latency:
        row = _latency_row(bench, system, plan, number)
        findings.rows.append({"round": number, "system": system.name, "measurement": "latency", **row})
        click.echo(f"{label}: p50 {row['latency_ms'].get('p50', float('nan')):.1f} ms", err=True)
    if plan.has_drain:
        result, cost = drained(bench, system, findings.sizes[system.name], DRAIN_TIMEOUT_S)
        row = {**vars(result), "lost": result.lost, **vars(cost)}
        findings.rows.append({"round": number, "system": system.name, "measurement": "drain", **row})
        click.echo(f"{label}: {result.images_per_s:,.0f} images/s", err=True)


def _latency_row(bench: Bench, system: System, plan: Plan, number: int) -> Row:
    # The same schedule for all systems of a round. It is cut to a count, so that all rounds weigh the same.
    due = schedule.poisson(RATE_PER_S, plan.requests / RATE_PER_S * 1.5 + 1, plan.seed + number)[: plan.requests]
    found = latency(bench, system, due, WARM_UP_S)
    return {
        "sent": found.sent,
        "lost": found.lost,
        "duplicated": found.duplicated,
        "latency_ms": statistics.percentiles(found.latency_ms),
        "sender_lag_ms": statistics.percentiles(found.sender_lag_ms),
        "samples_ms": np.round(found.latency_ms, 3).tolist(),
    }
