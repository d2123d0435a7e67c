"""Percentiles, and how many samples each of them needs."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

SAMPLES_NEEDED: Mapping[str, int] = {"p50": 11, "p90": 64, "p99": 662, "p99.9": 6_640}
"""Fewest samples for each percentile at a confidence of 99 %: those of MLPerf Inference's early stopping."""


def percentiles(samples: npt.NDArray[np.float64]) -> dict[str, float]:
    """Percentiles of `samples`, in their unit, as far as there are samples enough, and the largest one."""
    if not len(samples):
        return {}
    supported = {name: float(name[1:]) for name, needed in SAMPLES_NEEDED.items() if len(samples) >= needed}
    found = {name: float(np.percentile(samples, rank)) for name, rank in supported.items()}
    return {**found, "max": float(samples.max())}
