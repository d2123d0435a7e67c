"""The drawings of images and of what a model makes of them: values in, a matplotlib Figure out, as in `figures`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from training.figures import BLUE, ORANGE, short

LETTERS = 17
"""What fits above one image of a grid."""


def predictions(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    names: Sequence[str],
    title: str = "Predictions for test images",
    notes: Sequence[str] = (),
) -> Figure:
    """A grid of images, each with what was predicted, how surely, and what is true; `notes` stand below them."""
    columns = min(6, len(images))
    rows = math.ceil(len(images) / columns)
    # A note is nearer to its own image than to the next.
    height, layout = (2.3, ConstrainedLayoutEngine(h_pad=0.09)) if notes else (2.15, ConstrainedLayoutEngine())
    figure = Figure(figsize=(max(3.5, 1.75 * columns), height * rows + 0.4), layout=layout)
    grid = _grid(figure, rows, columns)
    for axes, image, label, row in zip(grid, images, labels, probabilities, strict=False):
        _picture(axes, image)
        predicted = int(np.argmax(row))
        right = predicted == label
        verdict = "✓" if right else f"✗ true: {short(names[label], LETTERS)}"
        said = f"{short(names[predicted], LETTERS)} {row[predicted]:.0%}"
        axes.set_title(f"{said}\n{verdict}", fontsize=8, color=BLUE if right else ORANGE)
    for axes, note in zip(grid, notes, strict=False):
        axes.text(0.5, -0.03, note, transform=axes.transAxes, ha="center", va="top", fontsize=7)
    figure.suptitle(title, fontsize=11)
    return figure


def filters(kernel: npt.NDArray[np.float32], layer: str) -> Figure:
    """The kernels (height, width, channels in, channels out) of a convolution, averaged over their input channels."""
    count = kernel.shape[-1]
    columns = min(8, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(max(3.5, 1.1 * columns + 1.2), 1.25 * rows + 0.6), layout="constrained")
    grid = _grid(figure, rows, columns)
    planes = kernel.mean(axis=2)
    limit = float(np.abs(planes).max()) or 1.0
    for index, axes in enumerate(grid[:count]):
        axes.imshow(planes[..., index], cmap="PuOr", vmin=-limit, vmax=limit)
        axes.set_title(str(index), fontsize=8)
    figure.colorbar(grid[0].images[0], ax=grid, label="weight")
    figure.suptitle(f"Filters of {layer}", fontsize=11)
    return figure


def activations(
    images: npt.NDArray[np.uint8], maps: npt.NDArray[np.float32], names: Sequence[str], title: str
) -> Figure:
    """A row for each image, its class named: the image, then its maps, `maps` being (N, height, width, maps)."""
    rows, columns = len(images), 1 + maps.shape[-1]
    figure = Figure(figsize=(max(3.5, 0.9 * columns + 2.2), 0.95 * rows + 0.8), layout="constrained")
    grid = _grid(figure, rows, columns)
    low, high = float(maps.min()), float(maps.max())
    limit = max(-low, high) or 1.0
    # Zero is white where there are two signs, and dark where nothing lies below it.
    style = (
        {"cmap": "PuOr", "vmin": -limit, "vmax": limit} if low < 0 else {"cmap": "cividis", "vmin": 0, "vmax": limit}
    )
    for row in range(rows):
        first, *others = grid[row * columns : (row + 1) * columns]
        _picture(first, images[row])
        first.text(-0.08, 0.5, short(names[row]), transform=first.transAxes, ha="right", va="center", fontsize=8)
        for index, axes in enumerate(others):
            axes.imshow(maps[row, ..., index], **style)
            if row == 0:
                axes.set_title(str(index), fontsize=8)
    figure.colorbar(grid[1].images[0], ax=grid, label="activation")
    figure.suptitle(title, fontsize=11)
    return figure


def _grid(figure: Figure, rows: int, columns: int) -> list[Any]:
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid:
        axes.set_axis_off()
    return list(grid)


def _picture(axes: Any, image: npt.NDArray[np.uint8]) -> None:
    if image.shape[-1] == 3:
        axes.imshow(image)
    else:  # grey, or a number of channels that has no colours of its own
        axes.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=255)
