"""What all scenarios are told, and how the systems take turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
import numpy as np

from bench.load.schedule import SCHEDULES, Times
from bench.load.trace import Trace
from bench.systems import Running

LEAD_IN_S = 0.5
"""Each round starts with so much load that is not measured: the system was idle while the others had their turns."""


@dataclass(frozen=True)
class Conditions:
    """Rates in requests a second; `duration_s` is measured for each system, in the scenario server for each step."""

    rate_per_s: float
    schedule: str
    duration_s: float
    warm_up_s: float
    grace_s: float
    late_after_ms: float
    bound_ms: float
    requests: int
    rounds: int
    seed: int

    def due(self, rate_per_s: float, duration_s: float, seed: int) -> Times:
        """When requests are due, in seconds from the start: at least one."""
        times = SCHEDULES[self.schedule](rate_per_s, duration_s, self.seed + seed)
        return times if len(times) else np.zeros(1)


def interleaved(
    running: Sequence[Running], conditions: Conditions, measure: Callable[[Running, int], Trace]
) -> dict[str, list[Trace]]:
    """Each system's traces: one of each round, in which all have their turn, so that noise hits all alike.

    The order moves on by one from round to round, so that none of them always comes first.
    """
    for each in running:
        click.echo(f"warming up {each.system.name} …", err=True)
        each.driver.warm_up(each.app, conditions.rate_per_s, conditions.warm_up_s)
    traces: dict[str, list[Trace]] = {each.system.name: [] for each in running}
    for number in range(conditions.rounds):
        click.echo(f"round {number + 1} of {conditions.rounds} …", err=True)
        first = number % len(running)
        for each in (*running[first:], *running[:first]):
            each.driver.warm_up(each.app, conditions.rate_per_s, min(LEAD_IN_S, conditions.warm_up_s))
            traces[each.system.name].append(measure(each, number))
            each.app.check()
    return traces
