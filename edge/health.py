"""Whether the classifier's loop moves, and whether it answers requests, each as a sentence about what is wrong."""

import time
from collections.abc import Callable

import numpy as np

from edge.codec import Timing
from edge.model import Model

STILL_S = 30.0
"""How long the loop may stand still: while brokers are away, one turn of it may wait for several things in a row."""
_MANY_TURNS = 5
"""So many times what a turn should take with a slow model."""


class Health:
    """What the loop's thread says of itself; whoever asks may be another thread.

    `max_batch` is how many images the first turn may take at once: only then is it known how long they take.
    """

    def __init__(self, max_batch: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.allowed_s = STILL_S
        self.partitions: int | None = None
        """How many partitions are assigned; None until the loop has come round once."""
        self._max_batch = max_batch
        self._clock = clock
        self._is_warm = False
        self._moved: float | None = None

    def loaded(self, model: Model) -> None:
        """The model is warm; one image says how long a turn may take."""
        self._is_warm = True
        image = model.contract.example[np.newaxis]
        started = self._clock()
        model.infer(image)
        self._allow(self._max_batch * (self._clock() - started))

    def turned(self, now: float) -> None:
        """The loop has come round, or is about to begin."""
        self._moved = now

    def answered(self, timing: Timing) -> None:
        """The next batch takes about as long: no more is read than can be answered in a moment, if one image can."""
        self._allow(timing.infer_ms / 1000)

    @property
    def still_s(self) -> float:
        """How long ago the loop moved; 0 before it has begun."""
        return 0.0 if self._moved is None else self._clock() - self._moved

    @property
    def standstill(self) -> str | None:
        """That the loop stands still; None when it moves, or has not begun: starting ends by itself."""
        still_s, allowed_s = self.still_s, self.allowed_s
        if still_s <= allowed_s:
            return None
        return f"the loop has stood still for {still_s:.0f} s, and {allowed_s:.0f} s are allowed"

    @property
    def obstacle(self) -> str | None:
        """Why no requests are answered; None when nothing is missing."""
        if not self._is_warm:
            return "the model is not loaded yet"
        if self._moved is None:
            return "the cluster is not connected yet"
        if not self.partitions:
            return self.standstill or "no partitions are assigned to this process"
        return self.standstill

    def _allow(self, turn_s: float) -> None:
        self.allowed_s = max(STILL_S, _MANY_TURNS * turn_s)
