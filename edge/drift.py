"""How far the last predictions are from those that the model made for its test images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge.contract import Reference

PER_CLASS = 100
SHORTEST, LONGEST = 1_000, 100_000
"""Of a window, in predictions: from few, a class mix differs by chance, and by more the more classes there are."""


class Drift(NamedTuple):
    """What a full window says.

    `class_mix` is the total variation distance of the shares of the classes from the reference's: the part of the
    predictions that would have to be of another class, from 0 to 1. `confidence` is the mean confidence minus the
    reference's.
    """

    class_mix: float
    confidence: float


class Window:
    """The last predictions of one model."""

    def __init__(self, classes: int, predictions: int | None = None) -> None:
        size = min(max(SHORTEST, PER_CLASS * classes), LONGEST) if predictions is None else predictions
        self._number_of_classes = classes
        self._classes = np.zeros(size, np.int32)
        self._confidences = np.zeros(size, np.float32)
        self._next = 0
        self._total = 0

    @property
    def size(self) -> int:
        """How many predictions fit in."""
        return len(self._classes)

    @property
    def filled(self) -> int:
        """How many are in it."""
        return min(self._total, self.size)

    def add(self, classes: Sequence[int], confidences: Sequence[float]) -> None:
        """Take in the predictions of one batch; the oldest ones leave."""
        classes, confidences = classes[-self.size :], confidences[-self.size :]
        fits = min(len(classes), self.size - self._next)
        for ring, values in ((self._classes, classes), (self._confidences, confidences)):
            ring[self._next : self._next + fits] = values[:fits]
            ring[: len(values) - fits] = values[fits:]
        self._next = (self._next + len(classes)) % self.size
        self._total += len(classes)

    def compare(self, reference: Reference) -> Drift | None:
        """How far it is from the reference; None until it is full."""
        if self.filled < self.size:
            return None
        mix = np.bincount(self._classes, minlength=self._number_of_classes) / self.size
        distance = 0.5 * np.abs(mix - np.asarray(reference.class_mix)).sum()
        return Drift(float(distance), float(self._confidences.mean(dtype=np.float64)) - reference.confidence)
