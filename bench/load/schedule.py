"""When requests are due: fixed before the run, so that a slow answer cannot slow the questions down."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]


def poisson(rate_per_s: float, duration_s: float, seed: int) -> Times:
    """Send times in seconds from the start, ascending, of a Poisson process of `rate_per_s` over `duration_s`."""
    generator = np.random.default_rng(seed)
    # More gaps than can be needed: the count's mean and ten standard deviations.
    mean = rate_per_s * duration_s
    times = np.cumsum(generator.exponential(1 / rate_per_s, int(mean + 10 * np.sqrt(mean) + 10)))
    return times[times < duration_s]


def constant(rate_per_s: float, duration_s: float, seed: int) -> Times:
    """Send times in seconds from the start, evenly spaced; the seed moves them all by less than one gap.

    Otherwise they would keep step with whatever else runs at the same beat.
    """
    phase = np.random.default_rng(seed).random()
    times = (np.arange(np.ceil(rate_per_s * duration_s), dtype=np.float64) + phase) / rate_per_s
    return times[times < duration_s]


SCHEDULES: Mapping[str, Callable[[float, float, int], Times]] = {"poisson": poisson, "constant": constant}
"""By name: a function of rate, duration and seed."""
