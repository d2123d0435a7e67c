"""Labelled images, which gate a model, calibrate it, or score it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.contract import Contract
from edge.errors import BadDataError
from edge.images import load_images


@dataclass(frozen=True)
class Samples:
    """Images [N, ...] with class numbers int [N] and, from a run, the probabilities [N, classes] it recorded."""

    image: npt.NDArray[Any]
    label: npt.NDArray[np.integer[Any]]
    probabilities: npt.NDArray[np.floating[Any]] | None = None

    def some(self, count: int) -> "Samples":
        """Up to `count` of them, at equal distances."""
        chosen = np.linspace(0, len(self.label) - 1, min(count, len(self.label))).astype(np.int64)
        return Samples(self.image[chosen], self.label[chosen])


def read_samples(path: Path) -> Samples:
    """Read labelled images from a `.npz` or IDX.

    Raises: BadDataError for a file that is missing, damaged, or without labels.
    """
    if not path.exists():
        raise BadDataError(f"there is no {path}")
    images = load_images(path)
    if images.label is None:
        raise BadDataError(f"{path} has no labels to compare with")
    return Samples(images.image, images.label)


def matched(samples: Samples, contract: Contract, path: Path) -> Samples:
    """The samples with images of exactly the contract's shape; a trailing channel of 1 may be absent in the file.

    Raises: BadDataError where images or classes contradict the contract.
    """
    image, shape, classes = samples.image, contract.shape, len(contract.labels)
    if (*image.shape[1:], 1) == shape:
        image = image[..., np.newaxis]
    if image.shape[1:] != shape or image.dtype != np.dtype(contract.dtype):
        raise BadDataError(
            f"{path} holds images of {image.dtype} {list(image.shape[1:])}; "
            f"the model needs {contract.dtype} {list(shape)}"
        )
    if samples.label.min() < 0 or samples.label.max() >= classes:
        raise BadDataError(
            f"{path} has labels from {samples.label.min()} to {samples.label.max()}; the model has {classes} classes"
        )
    return replace(samples, image=image)
