"""The value that all loaders return: images and labels for train and test, checked once, here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import BadDataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images, uint8 of shape (N, height, width, channels), and their labels, int64 of shape (N,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> "Split":
        """The examples at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A classification data set in memory; a label is an index into `label_names`."""

    name: str
    label_names: tuple[str, ...]
    train: Split
    test: Split

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def is_named(self) -> bool:
        """Whether the labels have names, not only numbers."""
        return any(name != str(number) for number, name in enumerate(self.label_names))


def checked_dataset(name: str, train: Split, test: Split, label_names: Sequence[str] | None = None) -> Dataset:
    """Put two checked splits together; labels without names are named by their number.

    Raises: BadDataError when the splits' shapes differ, a label has no name, or the names repeat.
    """
    if train.images.shape[1:] != test.images.shape[1:]:
        raise BadDataError(
            f"{name}: train images have shape {train.images.shape[1:]}, test images {test.images.shape[1:]}"
        )
    highest = max(int(train.labels.max()), int(test.labels.max()))
    if label_names is None and highest >= len(train) + len(test):
        raise BadDataError(f"{name}: found label {highest}, but only {len(train) + len(test)} images; is that a label?")
    names = tuple(label_names) if label_names is not None else tuple(str(i) for i in range(highest + 1))
    if highest >= len(names):
        raise BadDataError(
            f"{name}: found label {highest}, but there are {len(names)} label names (0 to {len(names) - 1})"
        )
    if len(names) < 2:
        raise BadDataError(f"{name}: a classifier needs at least 2 classes, found {len(names)}")
    if len(set(names)) != len(names):
        repeated = next(n for n in names if names.count(n) > 1)
        raise BadDataError(f"{name}: label names must differ from one another, but {repeated!r} comes twice")
    return Dataset(name, names, train, test)


def checked_split(what: str, images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Split:
    """Check one split and bring it to (N, H, W, C) uint8 and (N,) int64; grey images may come as (N, H, W).

    Raises: BadDataError, saying what was found in `what` and what is expected.
    """
    split = Split(_checked_images(what, images), _checked_labels(what, labels))
    if len(split.images) != len(split.labels):
        raise BadDataError(f"{what}: {len(split.images)} images but {len(split.labels)} labels")
    if not len(split):
        raise BadDataError(f"{what}: there are no images")
    return split


def _checked_images(what: str, images: npt.NDArray[Any]) -> Images:
    if images.dtype != np.uint8:
        raise BadDataError(f"{what}: images are {images.dtype}; expected uint8, raw pixels from 0 to 255")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise BadDataError(
            f"{what}: images have shape {images.shape}; expected (N, height, width, channels) or (N, height, width)"
        )
    return images


def _checked_labels(what: str, labels: npt.NDArray[Any]) -> Labels:
    if labels.dtype.kind not in "iu":
        raise BadDataError(f"{what}: labels are {labels.dtype}; expected integers")
    if labels.ndim != 1:
        raise BadDataError(f"{what}: labels have shape {labels.shape}; expected (N,)")
    if len(labels) and int(labels.min()) < 0:
        raise BadDataError(f"{what}: found label {int(labels.min())}; labels count from 0")
    return labels.astype(np.int64)
