"""When the loop is said to stand still, and what is missing until requests are answered, on a test's own clock."""

import numpy as np
import pytest

from edge.codec import Timing
from edge.health import STILL_S, Health
from edge.model import Model, load_model
from tests.paths import LENET


class Clock:
    """A time that passes when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model() -> Model:
    return load_model(LENET)


def test_what_is_missing_is_named_one_after_the_other(clock: Clock, model: Model) -> None:
    health = Health(64, clock)
    assert health.obstacle == "the model is not loaded yet"
    health.loaded(model)
    assert health.obstacle == "the cluster is not connected yet"
    # Waiting for a broker ends by itself.
    clock.now += 1000
    assert health.standstill is None
    health.turned(clock.now)
    assert health.obstacle == "no partitions are assigned to this process"
    health.partitions = 0
    assert health.obstacle == "no partitions are assigned to this process"
    health.partitions = 2
    assert health.obstacle is None


def test_a_loop_that_stands_still_is_neither_live_nor_ready_until_it_moves(clock: Clock, model: Model) -> None:
    health = Health(64, clock)
    health.loaded(model)
    health.turned(clock.now)
    health.partitions = 1
    clock.now += STILL_S
    assert (health.standstill, health.obstacle, health.still_s) == (None, None, STILL_S)
    clock.now += 1
    sentence = "the loop has stood still for 31 s, and 30 s are allowed"
    assert (health.standstill, health.obstacle) == (sentence, sentence)
    health.partitions = 0
    assert health.obstacle == sentence
    health.turned(clock.now)
    assert health.standstill is None


def test_a_slow_model_is_given_the_time_that_it_takes(
    clock: Clock, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infer(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        clock.now += 2.0 * len(images)

    monkeypatch.setattr(model, "infer", infer)
    health = Health(64, clock)
    health.loaded(model)
    health.turned(clock.now)
    # The first turn may be one of 64 images, 128 s.
    clock.now += 5 * 128
    assert health.standstill is None
    clock.now += 1
    assert health.standstill is not None
    health.answered(Timing(0, 0, 0.0, 20_000.0, 10))
    assert health.allowed_s == 100
    health.answered(Timing(0, 0, 0.0, 2_000.0, 1))
    assert health.allowed_s == STILL_S
