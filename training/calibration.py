"""Calibration: whether what is said with 90 % confidence is right nine times in ten, and how to bring it nearer.

Guo, Pleiss, Sun and Weinberger: On calibration of modern neural networks (ICML 2017).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 15
"""As many as in the paper: errors of the same model in other numbers of bins cannot be compared."""

LEAST_IMAGES = 100
"""A temperature fitted on fewer validation images says more about those than about the model."""

COLDEST, HOTTEST = 0.05, 20.0
"""A best temperature outside of these is that of a model which knows everything, or nothing."""

HALVINGS = 40
"""They narrow the search from a factor of 400 to less than a float32 can tell apart."""

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reliability:
    """Images sorted by confidence, the probability of the class that was predicted, into bins of equal width.

    `count` int64, and float64 `confidence` and `accuracy`, both means of a bin and NaN where it is empty; all (bins,).
    """

    count: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Where the bins begin and end, (bins + 1,), from 0 to 1; an upper edge belongs to its bin."""
        return np.arange(len(self.count) + 1) / len(self.count)

    @property
    def ece(self) -> float:
        """Expected calibration error: each bin's |accuracy - confidence|, weighted by its share of the images."""
        full = self.count > 0
        gaps = np.abs(self.accuracy[full] - self.confidence[full])
        return float((gaps * self.count[full]).sum() / self.count.sum())

    def to_list(self) -> list[dict[str, float | None]]:
        """One object a bin, for JSON; the means of an empty bin are None."""
        rows = zip(self.edges[:-1], self.edges[1:], self.count, self.confidence, self.accuracy, strict=True)
        return [
            {
                "above": float(lower),
                "up_to": float(upper),
                "count": int(count),
                "confidence": float(confidence) if count else None,
                "accuracy": float(accuracy) if count else None,
            }
            for lower, upper, count, confidence, accuracy in rows
        ]


def reliability(probabilities: Floats, labels: Labels, bins: int = BINS) -> Reliability:
    """How often the predictions for probabilities (N, classes) are right, by how sure they are."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = np.argmax(probabilities, axis=1) == labels
    # A softmax may exceed 1 by a rounding.
    place = np.minimum(np.searchsorted(np.arange(1, bins + 1) / bins, confidence), bins - 1)
    count = np.bincount(place, minlength=bins)
    means = np.full((2, bins), np.nan)
    for row, values in zip(means, (confidence, right), strict=True):
        sums = np.bincount(place, weights=values, minlength=bins)
        np.divide(sums, count, out=row, where=count > 0)
    return Reliability(count, *means)


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by before the softmax, why, and the validation loss (nats an image) without and with."""

    value: float
    reason: str
    loss_before: float
    loss_after: float


def keep(logits: Floats, labels: Labels, reason: str) -> Temperature:
    """Temperature 1, which changes nothing, and why."""
    loss = log_loss(logits, labels)
    return Temperature(1.0, reason, loss, loss)


def fit_temperature(logits: Floats, labels: Labels) -> Temperature:
    """The temperature with the lowest log loss on logits (N, classes) of validation images, which test images are not.

    Temperature scaling (section 4.2 of the paper) cannot change which class is the most probable one. Where there is
    no best temperature, or too little to find it by, it stays 1.
    """
    unfit = _unfit(logits, labels)
    if unfit:
        return keep(logits, labels, unfit)
    # A float32, since that is what the graph divides by.
    value = float(np.float32(1 / _best_inverse(logits, labels)))
    before, after = log_loss(logits, labels), log_loss(logits, labels, value)
    if not after < before:
        return keep(logits, labels, "no other temperature lowers the validation loss")
    return Temperature(value, f"fitted on {len(labels)} validation images", before, after)


def _unfit(logits: Floats, labels: Labels) -> str | None:
    right = int(np.sum(np.argmax(logits, axis=1) == labels))
    if len(labels) < LEAST_IMAGES:
        return f"{len(labels)} validation images are too few; at least {LEAST_IMAGES} are needed"
    if right in (0, len(labels)):
        return f"every validation image is {'right' if right else 'wrong'}, so the loss has no lowest point to trust"
    if _slope(logits, labels, 1 / HOTTEST) >= 0 or _slope(logits, labels, 1 / COLDEST) <= 0:
        return f"the best temperature does not lie between {COLDEST:g} and {HOTTEST:g}"
    return None


def _best_inverse(logits: Floats, labels: Labels) -> float:
    """Where the slope of the log loss crosses 0; the loss is convex in 1 / temperature, so it does so once."""
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if _slope(logits, labels, middle) > 0 else (middle, high)
    return float(np.sqrt(low * high))


def _slope(logits: Floats, labels: Labels, inverse: float) -> float:
    """The derivative of the log loss by 1 / temperature: the expected logit less the true class's, on average."""
    # Less the largest, so that no exponential overflows; the derivative stays the same.
    logits64 = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    weights = np.exp(logits64 * inverse)
    expected = (weights * logits64).sum(axis=1) / weights.sum(axis=1)
    return float(np.mean(expected - logits64[np.arange(len(labels)), labels]))


def log_loss(logits: Floats, labels: Labels, temperature: float = 1.0) -> float:
    """The mean negative log-likelihood of the labels, in nats an image, under softmax(logits / temperature)."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]))


def document(temperature: Temperature, before: Reliability, after: Reliability) -> dict[str, Any]:
    """The `calibration` of `metrics.json`; `before` and `after` are of test images, at temperature 1 and at this."""
    return {
        "temperature": temperature.value,
        "reason": temperature.reason,
        "validation_loss": {"before": temperature.loss_before, "after": temperature.loss_after},
        "ece": {"before": before.ece, "after": after.ece},
        "bins": {"before": before.to_list(), "after": after.to_list()},
    }
