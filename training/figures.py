"""The drawings: values in, a matplotlib Figure out; no global state, colours that everybody can tell apart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.calibration import Reliability

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
"""Okabe and Ito's palette for colour-blind readers; lines also differ in style and marker."""

CURVES = {
    "accuracy": ("train", GREY, "--", "o"),
    "val_accuracy": ("validation", ORANGE, "-.", "s"),
    "test_accuracy": ("test", BLUE, "-", "D"),
}
MOST_NUMBERS = 20
"""With more classes than this, numbers in the cells of a confusion matrix could not be read."""


def accuracy_evolution(history: Mapping[str, Sequence[float]]) -> Figure:
    """Train, validation and test accuracy over the epochs, with the epoch that validation chose."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for key, (label, colour, style, marker) in CURVES.items():
        if key in history:
            epochs = range(1, len(history[key]) + 1)
            axes.plot(epochs, history[key], style, color=colour, marker=marker, markersize=4, label=label)
    if history.get("val_accuracy"):
        best = int(np.argmax(history["val_accuracy"])) + 1
        axes.axvline(best, color="black", linewidth=0.8, linestyle=":", label=f"best on validation: epoch {best}")
    axes.set(title="Accuracy during training", xlabel="epoch", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    return figure


def per_class_accuracy(accuracies: Mapping[str, float | None], overall: float) -> Figure:
    """A bar for each class, in the order of the labels, and a line at the overall accuracy."""
    names = list(accuracies)
    values = [accuracies[name] or 0.0 for name in names]
    figure = Figure(figsize=(7, 1.4 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(names)), values, color=BLUE)
    texts = ["no images" if accuracies[n] is None else f"{v:.1%}" for n, v in zip(names, values, strict=True)]
    for row, text in enumerate(texts):
        axes.text(1.02, row, text, va="center", fontsize=8)
    axes.axvline(overall, color=ORANGE, linestyle="--", label=f"all classes: {overall:.1%}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title="Accuracy per class, test images", xlabel="accuracy", xlim=(0, 1.22))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(loc="outside lower right", fontsize=8)
    return figure


def confusion(matrix: npt.NDArray[np.int64], names: Sequence[str]) -> Figure:
    """How many images of each true class (row) were taken for each class (column); colour is the row's share."""
    size = max(4.5, 2 + 0.5 * min(len(names), 2 * MOST_NUMBERS))
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    step = max(1, math.ceil(len(names) / (2 * MOST_NUMBERS)))
    ticks = range(0, len(names), step)
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [names[i] for i in ticks])
    if len(names) <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "black" if shares[row, column] > 0.5 else "white"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set(title="Confusion matrix, test images", xlabel="predicted", ylabel="true")
    figure.colorbar(picture, label="share of the true class", format=PercentFormatter(1.0), shrink=0.85)
    return figure


def reliability(diagrams: Mapping[str, Reliability]) -> Figure:
    """For each diagram, titled by its key: accuracy against confidence, and below how many images are how confident."""
    figure = Figure(figsize=(0.8 + 4.2 * len(diagrams), 6), layout="constrained")
    rows = figure.subplots(2, len(diagrams), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    for (title, diagram), upper, lower in zip(diagrams.items(), *rows, strict=True):
        _accuracy_by_confidence(upper, diagram)
        upper.set_title(f"{title}\nexpected calibration error {diagram.ece:.2%}".strip(), fontsize=10)
        lower.bar(
            diagram.edges[:-1], diagram.count, 1 / len(diagram.count), align="edge", color=GREY, edgecolor="white"
        )
        lower.set(xlabel="confidence", yscale="symlog", xlim=(0, 1), ylim=(0, None))
        lower.xaxis.set_major_formatter(PercentFormatter(1.0))
        lower.grid(alpha=0.3, axis="y")
    rows[0, 0].set_ylabel("accuracy")
    rows[1, 0].set_ylabel("images")
    rows[0, 0].legend(loc="upper left", fontsize=8)
    figure.suptitle("Reliability, test images", fontsize=11)
    return figure


def _accuracy_by_confidence(axes: Any, diagram: Reliability) -> None:
    full = diagram.count > 0
    left, width = diagram.edges[:-1][full], 1 / len(diagram.count)
    accuracy, confidence = diagram.accuracy[full], diagram.confidence[full]
    axes.bar(left, accuracy, width, align="edge", color=BLUE, edgecolor="white", label="accuracy")
    axes.hlines(confidence, left, left + width, color=ORANGE, linewidth=2.5, label="mean confidence")
    axes.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="as right as sure")
    axes.set(ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)


def predictions(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    names: Sequence[str],
) -> Figure:
    """A grid of images, each with what was predicted, how surely, and what is true."""
    columns = min(6, len(images))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.75 * columns, 2.15 * rows + 0.4), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, label, row in zip(grid, images, labels, probabilities, strict=False):
        _picture(axes, image)
        predicted = int(np.argmax(row))
        right = predicted == label
        title = f"{names[predicted]} {row[predicted]:.0%}\n" + ("✓" if right else f"✗ true: {names[label]}")
        axes.set_title(title, fontsize=8, color=BLUE if right else ORANGE)
    figure.suptitle("Predictions for test images", fontsize=11)
    return figure


def _picture(axes: Any, image: npt.NDArray[np.uint8]) -> None:
    if image.shape[-1] == 3:
        axes.imshow(image)
    else:  # grey, or a number of channels that has no colours of its own
        axes.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=255)


def filters(kernel: npt.NDArray[np.float32], layer: str) -> Figure:
    """The kernels (height, width, channels in, channels out) of a convolution, averaged over their input channels."""
    count = kernel.shape[-1]
    columns = min(8, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(1.1 * columns + 1.2, 1.25 * rows + 0.6), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    planes = kernel.mean(axis=2)
    limit = float(np.abs(planes).max()) or 1.0
    for axes in grid:
        axes.set_axis_off()
    for index, axes in enumerate(grid[:count]):
        axes.imshow(planes[..., index], cmap="PuOr", vmin=-limit, vmax=limit)
        axes.set_title(str(index), fontsize=8)
    figure.colorbar(grid[0].images[0], ax=grid.tolist(), label="weight")
    figure.suptitle(f"Filters of {layer}", fontsize=11)
    return figure
