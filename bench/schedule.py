"""When requests are due: fixed before the run, so that a slow answer cannot slow the questions down."""

import numpy as np
import numpy.typing as npt


def poisson(rate_per_s: float, duration_s: float, seed: int) -> npt.NDArray[np.float64]:
    """Send times in seconds from the start, ascending, of a Poisson process of `rate_per_s` over `duration_s`."""
    generator = np.random.default_rng(seed)
    # More gaps than can be needed: the count's mean and ten standard deviations.
    mean = rate_per_s * duration_s
    times = np.cumsum(generator.exponential(1 / rate_per_s, int(mean + 10 * np.sqrt(mean) + 10)))
    return times[times < duration_s]
