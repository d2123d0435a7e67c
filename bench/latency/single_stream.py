"""The scenario `single-stream`: the next request is sent when the last one is answered; its figure is the p90."""

import math
from collections.abc import Sequence
from typing import Any

from bench.latency import summary
from bench.latency.conditions import Conditions, interleaved
from bench.statistics import SAMPLES_NEEDED
from bench.systems import System, running
from edge.cluster import Cluster
from edge.images import Images


def measure(cluster: Cluster, systems: Sequence[System], images: Images, conditions: Conditions) -> dict[str, Any]:
    """Rounds of all systems, with the requests that a p90 needs even where one takes long."""
    length_s = conditions.duration_s / conditions.rounds
    least = math.ceil(SAMPLES_NEEDED["p90"] / conditions.rounds)
    with running(cluster, systems, images) as started:
        traces = interleaved(
            started,
            conditions,
            lambda each, _: each.driver.run_single_stream(length_s, least, conditions.grace_s),
        )
    return summary.of_systems(traces, conditions.late_after_ms)
