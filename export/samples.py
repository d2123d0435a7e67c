"""Labelled images, which gate a model, calibrate it, or score it."""

import sys
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
    """Images [N, ...], class numbers int [N], what classes are called, and the probabilities [N, classes] of a run."""

    image: npt.NDArray[Any]
    label: npt.NDArray[np.integer[Any]]
    probabilities: npt.NDArray[np.floating[Any]] | None = None
    label_names: tuple[str, ...] | None = None

    def some(self, count: int) -> "Samples":
        """Up to `count` of them, at equal distances."""
        chosen = np.linspace(0, len(self.label) - 1, min(count, len(self.label))).astype(np.int64)
        return Samples(self.image[chosen], self.label[chosen])


def read_samples(path: Path) -> Samples:
    """Read labelled images from a `.npz` or IDX, as many as there is memory for.

    Raises: BadDataError for a file that is missing, damaged, or without labels.
    """
    if not path.exists():
        raise BadDataError(f"there is no {path}")
    images = load_images(path, sys.maxsize)
    if images.label is None:
        raise BadDataError(f"{path} has no labels to compare with")
    return Samples(images.image, images.label, label_names=images.label_names)


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
    _check_names(samples.label_names, contract.labels, path)
    return replace(samples, image=image)


def _check_names(names: tuple[str, ...] | None, labels: tuple[str, ...], path: Path) -> None:
    # A data set without names has numbers in their place.
    if names is None or all(name == str(number) for number, name in enumerate(names)):
        return
    for number, (name, label) in enumerate(zip(names, labels, strict=False)):
        if name != label:
            raise BadDataError(f"{path} calls class {number} {name!r}; the model calls it {label!r}")
