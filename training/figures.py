"""The diagrams: values in, a matplotlib Figure out; no global state, colours that everybody can tell apart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.calibration import Reliability

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
"""Okabe and Ito's palette for colour-blind readers; lines also differ in style and marker."""

CURVES = {
    "accuracy": ("train", GREY, "--", "o"),
    "val_accuracy": ("validation", ORANGE, "-.", "s"),
    "test_accuracy": ("test", BLUE, "-", "D"),
}
RUNS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The same palette, as long as it goes, for curves of runs."""
STYLES = ("-", "--", "-.", ":")
MOST_NUMBERS = 20
"""With more classes than this, numbers in the cells of a matrix could not be read."""

MOST_ROWS = 40
"""Bars below one another; with more classes they stand in several columns."""

MOST_CLASSES = 120
"""Of more classes, only the worst have a row of their own."""

MOST_LETTERS = 24
"""Longer labels would leave no room for what is drawn."""


def short(name: str, most: int = MOST_LETTERS) -> str:
    """A label on one line of at most so many letters, its middle left out, and with no `$` taken for mathematics."""
    line = " ".join(name.split())
    if len(line) > most:
        end = (most - 1) // 2
        line = f"{line[: most - 1 - end]}…{line[len(line) - end :]}"
    return line.replace("$", r"\$")


def accuracy_evolution(history: Mapping[str, Sequence[float]]) -> Figure:
    """Train, validation and test accuracy over the epochs, with the epoch that validation chose."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for key, (label, colour, style, marker) in CURVES.items():
        if key in history:
            epochs = range(1, len(history[key]) + 1)
            often = max(1, len(epochs) // 20)
            axes.plot(
                epochs, history[key], style, color=colour, marker=marker, markersize=4, markevery=often, label=label
            )
    if history.get("val_accuracy"):
        best = int(np.argmax(history["val_accuracy"])) + 1
        axes.axvline(best, color="black", linewidth=0.8, linestyle=":", label=f"best on validation: epoch {best}")
    _accuracy_over_epochs(axes, "Accuracy during training")
    axes.set_ylabel("accuracy")
    axes.legend(loc="best")
    return figure


def overlaid(histories: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Figure:
    """Validation and test accuracy of several runs over their epochs, a colour and style for each run's name."""
    figure = Figure(figsize=(9, 4.2 + 0.2 * len(histories)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key, title in zip(panels, ("val_accuracy", "test_accuracy"), ("validation", "test"), strict=True):
        for number, (name, history) in enumerate(histories.items()):
            values = history.get(key, ())
            style, colour = STYLES[number // len(RUNS) % len(STYLES)], RUNS[number % len(RUNS)]
            axes.plot(range(1, len(values) + 1), values, style, color=colour, marker="o", markersize=3, label=name)
        _accuracy_over_epochs(axes, f"Accuracy, {title} images")
    panels[0].set_ylabel("accuracy")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", fontsize=8)
    return figure


def _accuracy_over_epochs(axes: Any, title: str) -> None:
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)


def _worth_drawing(accuracies: Sequence[float | None]) -> tuple[list[int], str]:
    """All classes, or those of the lowest accuracy, worst first, where there are many; and a title's words for them."""
    count = len(accuracies)
    if count <= MOST_CLASSES:
        return list(range(count)), ""
    worst = sorted((math.inf if value is None else value, number) for number, value in enumerate(accuracies))
    return [number for _, number in worst[:MOST_CLASSES]], f"\nthe {MOST_CLASSES} worst of {count:,} classes"


def per_class_accuracy(accuracies: Mapping[str, float | None], overall: float) -> Figure:
    """A bar for each class, in the order of the labels or the worst of many, and a line at the overall accuracy."""
    chosen, which = _worth_drawing(list(accuracies.values()))
    items = [list(accuracies.items())[number] for number in chosen]
    columns = math.ceil(len(items) / MOST_ROWS)
    rows = math.ceil(len(items) / columns)
    figure = Figure(figsize=(7 + 5 * (columns - 1), 1.6 + 0.32 * rows), layout="constrained")
    for column, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        _bars(axes, items[column * rows : (column + 1) * rows], rows, overall)
    figure.suptitle(f"Accuracy per class, test images{which}", fontsize=11)
    figure.legend(handles=figure.axes[0].lines, loc="outside lower right", fontsize=8)
    return figure


def _bars(axes: Any, items: Sequence[tuple[str, float | None]], rows: int, overall: float) -> None:
    axes.barh(range(len(items)), [value or 0.0 for _, value in items], color=BLUE)
    for row, (_, value) in enumerate(items):
        axes.text(1.02, row, "no images" if value is None else f"{value:.1%}", va="center", fontsize=8)
    axes.axvline(overall, color=ORANGE, linestyle="--", label=f"all classes: {overall:.1%}")
    axes.set_yticks(range(len(items)), [short(name) for name, _ in items])
    axes.set(xlabel="accuracy", xlim=(0, 1.22), ylim=(rows - 0.4, -0.6))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))


def per_class_evolution(
    epochs: Sequence[int], accuracies: Sequence[Sequence[float | None]], names: Sequence[str]
) -> Figure:
    """A row for each class and a column for each measured epoch, (epochs, classes), coloured by the accuracy.

    Of many classes, the rows are those that are worst in the last epoch.
    """
    chosen, which = _worth_drawing(accuracies[-1])
    names = [names[number] for number in chosen]
    values = np.array(accuracies, np.float64).T[chosen]  # None becomes NaN
    few = len(names) <= MOST_NUMBERS
    numbers = few and len(epochs) <= MOST_NUMBERS
    width = min(3.5 + (0.45 if numbers else 0.2) * len(epochs), 14)
    height = max(3, 1.6 + (0.32 if few else 0.15) * len(names))
    figure = Figure(figsize=(max(width, 6), height), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("white")  # shows where there is no value; the colours go from blue through grey to yellow
    picture = axes.imshow(np.ma.masked_invalid(values), cmap="cividis", aspect="auto", interpolation="none")
    if numbers:
        _numbers(axes, values, np.asarray(picture.norm(values)), "{:.1f}", 100)
    axes.set_yticks(range(len(names)), [short(name) for name in names], fontsize=None if few else 7)
    ticks = range(0, len(epochs), math.ceil(len(epochs) / MOST_NUMBERS))
    axes.set_xticks(ticks, [str(epochs[i]) for i in ticks])
    axes.set(title=f"Accuracy per class during training, test images{which}", xlabel="epoch")
    missing = " (white: no images)" if np.isnan(values).any() else ""
    figure.colorbar(picture, label=f"accuracy{missing}", format=PercentFormatter(1.0))
    return figure


def _numbers(axes: Any, values: npt.NDArray[Any], shares: npt.NDArray[Any], form: str, factor: float = 1) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if shares[row, column] > 0.5 else "white"
            text = form.format(factor * value)
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def confusion(matrix: npt.NDArray[np.int64], names: Sequence[str]) -> Figure:
    """How many images of each true class (row) were taken for each class (column); colour is the row's share."""
    numbers = len(names) <= MOST_NUMBERS
    size = min(max(4.5, 2 + 0.5 * len(names)), 14)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    step = max(1, math.ceil(len(names) / (2 * MOST_NUMBERS)))
    ticks = range(0, len(names), step)
    labels = [short(names[i]) for i in ticks]
    letters = None if numbers else 7
    axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=letters)
    axes.set_yticks(ticks, labels, fontsize=letters)
    if numbers:
        _numbers(axes, matrix, shares, "{:d}")
    axes.set(title="Confusion matrix, test images", xlabel="predicted", ylabel="true")
    figure.colorbar(picture, label="share of the true class", format=PercentFormatter(1.0), shrink=0.85)
    return figure


def reliability(diagrams: Mapping[str, Reliability]) -> Figure:
    """For each diagram, titled by its key: accuracy against confidence, and below how many images are how confident."""
    # Room between the last tick's label of one and the first of the next.
    layout = ConstrainedLayoutEngine(wspace=0.06)
    figure = Figure(figsize=(0.8 + 4.2 * len(diagrams), 6), layout=layout)
    rows = figure.subplots(2, len(diagrams), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    for (title, diagram), upper, lower in zip(diagrams.items(), *rows, strict=True):
        _accuracy_by_confidence(upper, diagram)
        upper.set_title(f"{title}\nexpected calibration error {diagram.ece:.2%}".strip(), fontsize=10)
        width = 1 / len(diagram.count)
        lower.bar(diagram.edges[:-1], diagram.count, width, align="edge", color=GREY, edgecolor="white")
        lower.set(xlabel="confidence", yscale="symlog", xlim=(0, 1), ylim=(0, None))
        lower.xaxis.set_major_formatter(PercentFormatter(1.0))
        lower.grid(alpha=0.3, axis="y")
    rows[0, 0].set_ylabel("accuracy")
    rows[1, 0].set_ylabel("images")
    # Outside: a bin of few images may have a bar of any height.
    handles, labels = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle("Reliability, test images", fontsize=11)
    return figure


def _accuracy_by_confidence(axes: Any, diagram: Reliability) -> None:
    full = diagram.count > 0
    left, width = diagram.edges[:-1][full], 1 / len(diagram.count)
    accuracy, confidence = diagram.accuracy[full], diagram.confidence[full]
    axes.bar(left, accuracy, width, align="edge", color=BLUE, edgecolor="white", label="accuracy")
    axes.hlines(confidence, left, left + width, color=ORANGE, linewidth=2.5, label="mean confidence")
    axes.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="perfect calibration")
    axes.set(ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
