"""The scenario `fixed-rate`: requests come at one rate, whether or not the ones before are answered."""

from collections.abc import Sequence
from typing import Any

from bench.latency import summary
from bench.latency.conditions import Conditions, interleaved
from bench.systems import System, running
from edge.cluster import Cluster
from edge.images import Images


def measure(cluster: Cluster, systems: Sequence[System], images: Images, conditions: Conditions) -> dict[str, Any]:
    """Rounds of all systems on the same schedules."""
    length_s = conditions.duration_s / conditions.rounds
    with running(cluster, systems, images) as started:
        traces = interleaved(
            started,
            conditions,
            lambda each, number: each.driver.run(
                conditions.due(conditions.rate_per_s, length_s, number), conditions.grace_s
            ),
        )
    return summary.of_systems(traces, conditions.late_after_ms)
