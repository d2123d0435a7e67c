"""The gate: does the ONNX model answer every test image as the SavedModel does, or at least as well?"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import BadModelError
from export.samples import Samples

BATCHES = (1, 256)
"""One image at a time as on a quiet topic, and many at once; 256 leaves a ragged last batch of 10,000."""

WORST = 5

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer[Any]]

Infer = Callable[[npt.NDArray[Any]], Probabilities]
"""Probabilities [N, classes] of images [N, ...]."""


class ParityError(BadModelError):
    """The ONNX model answers otherwise, or worse, than the SavedModel: do not ship it."""


@dataclass(frozen=True)
class Difference:
    """One image and what either model says of it; `difference` is None where an output is not finite."""

    index: int
    label: int
    batch: int
    saved_model_class: int
    saved_model_probability: float | None
    onnx_class: int
    onnx_probability: float | None
    difference: float | None

    def __str__(self) -> str:
        return (
            f"image {self.index} (label {self.label}, batch {self.batch}): "
            f"SavedModel says {self.saved_model_class} ({_number(self.saved_model_probability)}), "
            f"ONNX says {self.onnx_class} ({_number(self.onnx_probability)}), "
            f"difference {_number(self.difference)}"
        )


@dataclass(frozen=True)
class BatchParity:
    """One pass over all images at one batch size.

    `agreeing` have the same class in both; the others either are `excepted` ties, the SavedModel's two best
    probabilities lying closer than the tolerance, or `disagreeing`. `ties` counts all ties, agreeing or not.
    `max_difference` is over the finite outputs; images with another output are counted in `non_finite`.
    `accuracy` is the ONNX model's, and `accuracy_loss` what the SavedModel's is above it.
    """

    batch: int
    images: int
    max_difference: float
    agreeing: int
    ties: int
    excepted: int
    disagreeing: int
    non_finite: int
    accuracy: float
    accuracy_loss: float

    @property
    def agreement(self) -> float:
        """The part of the images, excepted ties aside, on whose class both models agree."""
        judged = self.images - self.excepted
        return self.agreeing / judged if judged else 1.0


@dataclass(frozen=True)
class Parity:
    """The verdict; `accuracy` is the ONNX model's on these images, at the last batch size.

    `max_accuracy_loss` is None where every image has to agree within `tolerance`, which is 0 where accuracy counts.
    `recorded_agreement` compares the SavedModel with the classes that the run recorded, None if it recorded none.
    """

    tolerance: float
    max_accuracy_loss: float | None
    batches: tuple[BatchParity, ...]
    worst: tuple[Difference, ...]
    accuracy: float
    recorded_agreement: float | None

    @property
    def passed(self) -> bool:
        """Whether every image agreed within the tolerance, or no more accuracy was lost than allowed, in each batch."""
        if self.max_accuracy_loss is not None:
            return self.accuracy_loss <= self.max_accuracy_loss and not any(b.non_finite for b in self.batches)
        return all(b.max_difference <= self.tolerance and not b.disagreeing and not b.non_finite for b in self.batches)

    @property
    def accuracy_loss(self) -> float:
        """What the ONNX model is right less often than the SavedModel, at the batch size where it is worst."""
        return max(b.accuracy_loss for b in self.batches)

    def to_dict(self) -> dict[str, Any]:
        """The verdict for JSON; without NaN."""
        return {
            "passed": self.passed,
            "tolerance": self.tolerance if self.max_accuracy_loss is None else None,
            "max_accuracy_loss": self.max_accuracy_loss,
            "batches": [{**asdict(batch), "agreement": batch.agreement} for batch in self.batches],
            "test_accuracy": self.accuracy,
            "recorded_agreement": self.recorded_agreement,
            "worst": [asdict(difference) for difference in self.worst],
        }


def predict(
    infer: Infer, images: npt.NDArray[Any], batch: int, advance: Callable[[int], None] = lambda _: None
) -> Probabilities:
    """Probabilities of all images, `batch` at a time; the last batch may be smaller, none is dropped."""
    parts = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        parts.append(infer(part))
        advance(len(part))
    return np.concatenate(parts)


def compare(
    saved_model: Infer,
    onnx: Infer,
    samples: Samples,
    tolerance: float,
    max_accuracy_loss: float | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Parity:
    """Put every image to both models, at each of `BATCHES`; `advance` is told of the images done by each model."""
    results: list[BatchParity] = []
    worst: dict[int, tuple[tuple[bool, float], Difference]] = {}
    expected = found = np.empty((0, 0), np.float32)
    for batch in BATCHES:
        expected = predict(saved_model, samples.image, batch, advance)
        found = predict(onnx, samples.image, batch, advance)
        results.append(measure(expected, found, samples.label, batch, tolerance))
        for rank, item in rank_worst(expected, found, samples.label, batch, tolerance):
            if item.index not in worst or worst[item.index][0] < rank:
                worst[item.index] = (rank, item)
    ordered = sorted(worst.values(), key=lambda entry: entry[0], reverse=True)
    recorded = samples.probabilities
    return Parity(
        tolerance=tolerance,
        max_accuracy_loss=max_accuracy_loss,
        batches=tuple(results),
        worst=tuple(item for _, item in ordered[:WORST]),
        accuracy=accuracy(found, samples.label),
        recorded_agreement=None if recorded is None else accuracy(expected, recorded.argmax(1)),
    )


def accuracy(probabilities: Probabilities, label: Labels) -> float:
    """The part of the images whose most probable class is `label`."""
    return float(np.mean(probabilities.argmax(1) == label))


def measure(expected: Probabilities, found: Probabilities, label: Labels, batch: int, tolerance: float) -> BatchParity:
    """Compare two sets of probabilities [N, classes], of which `expected` is the reference."""
    difference, tied, same = _difference(expected, found), _tied(expected, tolerance), _same_class(expected, found)
    finite = np.isfinite(difference)
    excepted = ~same & tied & finite
    right, wanted = int((found.argmax(1) == label).sum()), int((expected.argmax(1) == label).sum())
    return BatchParity(
        batch=batch,
        images=len(expected),
        max_difference=float(difference[finite].max(initial=0.0)),
        agreeing=int(same.sum()),
        ties=int(tied.sum()),
        excepted=int(excepted.sum()),
        disagreeing=int((~same & ~excepted).sum()),
        non_finite=int((~finite).sum()),
        accuracy=right / len(expected),
        # Counts are subtracted, not their quotients: 50 of 10,000 are 0.005 and not a rounding more.
        accuracy_loss=(wanted - right) / len(expected),
    )


def rank_worst(
    expected: Probabilities,
    found: Probabilities,
    label: Labels,
    batch: int,
    tolerance: float,
) -> list[tuple[tuple[bool, float], Difference]]:
    """The `WORST` images with the key they are ordered by: disagreeing classes first, then the difference."""
    difference = _difference(expected, found)
    wrong = ~_same_class(expected, found) & ~_tied(expected, tolerance)
    order = np.lexsort((-difference, ~wrong))[:WORST]
    return [
        (
            (bool(wrong[i]), float(difference[i])),
            Difference(
                index=int(i),
                label=int(label[i]),
                batch=batch,
                saved_model_class=int(expected[i].argmax()),
                saved_model_probability=_finite(expected[i].max()),
                onnx_class=int(found[i].argmax()),
                onnx_probability=_finite(found[i].max()),
                difference=_finite(difference[i]),
            ),
        )
        for i in order
    ]


def _difference(expected: Probabilities, found: Probabilities) -> npt.NDArray[np.float64]:
    finite = np.isfinite(expected).all(1) & np.isfinite(found).all(1)
    difference = np.full(len(expected), np.inf)
    difference[finite] = np.abs(expected[finite].astype(np.float64) - found[finite]).max(1)
    return difference


def _tied(expected: Probabilities, tolerance: float) -> npt.NDArray[np.bool_]:
    if expected.shape[1] < 2:
        return np.zeros(len(expected), np.bool_)
    best = np.sort(expected.astype(np.float64), axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0] < tolerance)


def _same_class(expected: Probabilities, found: Probabilities) -> npt.NDArray[np.bool_]:
    finite = np.isfinite(expected).all(1) & np.isfinite(found).all(1)
    return np.asarray((expected.argmax(1) == found.argmax(1)) & finite)


def _finite(value: np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"
