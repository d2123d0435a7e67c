"""Percentiles by HdrHistogram, and how many samples each of them needs."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

SAMPLES_NEEDED: Mapping[str, int] = {"p50": 11, "p90": 64, "p99": 662, "p99.9": 6_640}
"""Fewest samples for each percentile at a confidence of 99 %: those of MLPerf Inference's early stopping."""
DIGITS = 3
"""Significant digits that a histogram keeps of each latency."""
LONGEST_US = 3_600_000_000
"""An hour: what a histogram takes at most."""


def histogram(samples_ms: npt.NDArray[np.float64]) -> HdrHistogram:
    """Latencies in milliseconds, none of them negative, counted in microseconds.

    Raises: ValueError for one that is negative, no number, or longer than LONGEST_US.
    """
    counted = HdrHistogram(1, LONGEST_US, DIGITS)
    # Recording is pure Python: once for each microsecond that occurs.
    for value_us, count in zip(*np.unique(np.rint(samples_ms * 1000), return_counts=True), strict=True):
        if not 0 <= value_us <= LONGEST_US:
            raise ValueError(f"{value_us / 1000:g} ms is no latency")
        counted.record_value(int(value_us), int(count))
    return counted


def encoded(samples_ms: npt.NDArray[np.float64]) -> str:
    """The histogram of `samples_ms` as text: HdrHistogram's format V2, compressed, in base64."""
    text: bytes | str = histogram(samples_ms).encode()
    return text.decode() if isinstance(text, bytes) else text


def merged(texts: Iterable[str]) -> HdrHistogram:
    """The histogram of all samples of several runs, each as `encoded` has written it."""
    total = HdrHistogram(1, LONGEST_US, DIGITS)
    for text in texts:
        total.decode_and_add(text)
    return total


def percentiles(samples_ms: npt.NDArray[np.float64]) -> dict[str, float]:
    """Percentiles in milliseconds as far as there are samples enough, to DIGITS digits, and the largest, exactly."""
    if not len(samples_ms):
        return {}
    largest = float(samples_ms.max())
    # A histogram gives the upper end of a value's class.
    return {name: min(value, largest) for name, value in percentiles_of(histogram(samples_ms)).items()} | {
        "max": largest
    }


def percentiles_of(counted: HdrHistogram) -> dict[str, float]:
    """Percentiles in milliseconds, as far as a histogram has samples enough."""
    ranks = {name: float(name[1:]) for name, needed in SAMPLES_NEEDED.items() if counted.total_count >= needed}
    values_us = counted.get_percentile_to_value_dict(list(ranks.values()))
    return {name: values_us[rank] / 1000 for name, rank in ranks.items()}
