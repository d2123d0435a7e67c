"""Schedules: fixed before the run, of the rate that was asked for, and the same for the same seed."""

import numpy as np
import pytest

from bench.load.schedule import SCHEDULES, constant, poisson


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_has_its_rate_and_is_the_same_for_the_same_seed(name: str) -> None:
    times = SCHEDULES[name](100, 1000, 7)
    np.testing.assert_array_equal(times, SCHEDULES[name](100, 1000, 7))
    assert len(times) == pytest.approx(100_000, rel=0.02)
    assert (np.diff(times) > 0).all()
    assert times[0] > 0
    assert times[-1] < 1000
    assert np.diff(times).mean() == pytest.approx(0.01, rel=0.02)


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(poisson(100, 1000, 7))
    assert gaps.std() == pytest.approx(0.01, rel=0.02)


def test_constant_gaps_are_equal_and_start_anywhere_in_the_first() -> None:
    np.testing.assert_allclose(np.diff(constant(50, 10, 1)), 0.02)
    starts = [constant(50, 10, seed)[0] for seed in range(100)]
    assert min(starts) < 0.002
    assert 0.018 < max(starts) < 0.02
