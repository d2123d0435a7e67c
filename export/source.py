"""The model to export, as a run or a user describes it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.contract import Reference

PIXELS: dict[str, tuple[float, float]] = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
"""What a model may have been trained on in place of raw pixels: 0 becomes the first, 255 the second."""


@dataclass(frozen=True)
class Source:
    """A SavedModel with all that its contract says of it.

    `test_images` gate it, and `training_images`, if there are any, calibrate it. `image_shape`, `test_accuracy`,
    `golden`, the images uint8 [G, *image_shape] of its reference inputs, and `reference`, what it predicts for the
    test images, are None where they are not known beforehand.
    `pixels`, a key of `PIXELS`, is None for a model that takes raw ones; `is_logits` says that it has no softmax yet.
    """

    saved_model: Path
    name: str
    version: str
    run: str
    dataset: str
    labels: tuple[str, ...]
    created: str
    test_images: Path
    training_images: Path | None = None
    image_shape: tuple[int, ...] | None = None
    test_accuracy: float | None = None
    golden: npt.NDArray[np.uint8] | None = None
    reference: Reference | None = None
    pixels: str | None = None
    is_logits: bool = False
