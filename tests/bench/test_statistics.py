"""Percentiles: never more than the samples can support, and HdrHistogram's within its precision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics import encoded, histogram, merged, percentiles, percentiles_of


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (0, set()),
        (10, {"max"}),
        (11, {"p50", "max"}),
        (64, {"p50", "p90", "max"}),
        (661, {"p50", "p90", "max"}),
        (662, {"p50", "p90", "p99", "max"}),
        (6640, {"p50", "p90", "p99", "p99.9", "max"}),
    ],
)
def test_no_percentile_is_given_that_the_count_cannot_support(count: int, names: set[str]) -> None:
    assert set(percentiles(np.arange(count, dtype=float))) == names


def test_percentiles_are_right() -> None:
    found = percentiles(np.arange(1, 10_001, dtype=float))
    assert found == pytest.approx({"p50": 5000, "p90": 9000, "p99": 9900, "p99.9": 9990, "max": 10_000}, rel=1e-3)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(6_640, 7_000), st.floats(0.001, 3), st.floats(0.001, 10_000))
def test_percentiles_are_those_of_numpy_within_three_digits(seed: int, count: int, shape: float, scale: float) -> None:
    samples = np.random.default_rng(seed).gamma(shape, scale, count)
    for name, value in percentiles(samples).items():
        if name == "max":
            assert value == samples.max()
            continue
        # Between two ranks numpy interpolates, HdrHistogram takes one of them.
        lower, upper = (np.percentile(samples, float(name[1:]), method=method) for method in ("lower", "higher"))
        assert lower * 0.999 - 0.001 <= value <= upper * 1.001 + 0.001


def test_histograms_of_several_runs_add_up_to_that_of_all_samples() -> None:
    samples = np.random.default_rng(1).gamma(2, 3, 7000)
    total = merged([encoded(samples[:1000]), encoded(samples[1000:])])
    assert total.total_count == 7000
    assert percentiles_of(total) == percentiles_of(histogram(samples))


@pytest.mark.parametrize("value", [-0.01, np.nan, np.inf, 4e6])
def test_what_is_no_latency_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is no latency"):
        histogram(np.array([1.0, value]))
