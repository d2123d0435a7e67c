"""How the report draws: bars and curves with the range of their rounds, for a page in light or dark, and as files."""

import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.spread import is_spread, number

COLOURS = ("#2a8fd0", "#e0762f", "#1fa37a", "#8c8c8c", "#cc79a7", "#c9a227", "#7a6fd0", "#a0522d")
"""Near Okabe and Ito's palette for colour-blind readers, and to be seen on white and on black; markers differ, too."""
GREY = COLOURS[3]
_MARKERS = "osD^vPX*"
_INK = "#010203"
"""Stands for the page's own colour of text, which is light in the dark."""
_WIDE = 20

Drawing = Callable[[], Figure]


def svg(drawing: Drawing, name: str) -> str:
    """A drawing for a page: text stays text, in the page's colour; no id occurs twice on a page."""
    with mpl.rc_context(_style(_INK, **{"svg.fonttype": "none", "svg.hashsalt": name})):
        file = io.StringIO()
        drawing().savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL).replace(_INK, "currentColor")


def png(drawing: Drawing, path: Path) -> None:
    """A drawing as a file, black on white."""
    with mpl.rc_context(_style("black")):
        drawing().savefig(path, format="png", dpi=150, facecolor="white")


def colour(index: int) -> str:
    """The colour of the curve or part `index`."""
    return COLOURS[index % len(COLOURS)]


def figure_of(title: str, x: str, y: str) -> tuple[Figure, Any]:
    """A figure of one panel."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.yaxis.set_major_formatter(plain())
    return figure, axes


def plain() -> FuncFormatter:
    """Numbers on an axis as people write them."""
    return FuncFormatter(lambda value, _: f"{value:,g}")


def line(axes: Any, index: int, label: str, points: Sequence[tuple[float, Any]], style: str = "-") -> None:
    """One curve; a spread is drawn with the range of its rounds."""
    x = [at for at, _ in points]
    y = [_middle(value) for _, value in points]
    ranges = np.transpose([_range(value) for _, value in points]) if points else None
    marker = _MARKERS[index % len(_MARKERS)]
    axes.errorbar(x, y, ranges, markersize=5, marker=marker, color=colour(index), linestyle=style, label=label)


def bars(title: str, x: str, values: Mapping[str, Any], ours: Collection[str]) -> Figure:
    """A horizontal bar for each name, ours in colour; a spread is drawn with the range of its rounds."""
    figure = Figure(figsize=(7.2, 1.4 + 0.42 * len(values)), layout="constrained")
    axes = figure.subplots()
    for row, (name, value) in enumerate(values.items()):
        middle, (below, above) = _middle(value), _range(value)
        ranges = [[below], [above]] if is_spread(value) else None
        axes.barh(
            row, middle, xerr=ranges, color=COLOURS[0] if name in ours else GREY, ecolor=mpl.rcParams["text.color"]
        )
        axes.annotate(f" {number(middle)}", (middle + above, row), va="center")
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.15)
    axes.xaxis.set_major_formatter(plain())
    axes.set(title=title, xlabel=x)
    return figure


def scale(axes: Any) -> None:
    """From zero where the values are of one size, else in powers of ten."""
    values = [y for drawn in axes.get_lines() for y in drawn.get_ydata() if y > 0]
    if values and max(values) > _WIDE * min(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(plain())


def _middle(value: Any) -> float:
    return float(value["median"] if is_spread(value) else value)


def _range(value: Any) -> tuple[float, float]:
    return (value["median"] - value["low"], value["high"] - value["median"]) if is_spread(value) else (0.0, 0.0)


def _style(ink: str, **more: str) -> Any:
    """matplotlib's settings, which have a type of their own there."""
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    return dict.fromkeys(names, ink) | {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GREY,
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "font.size": 10,
        "errorbar.capsize": 4,
        # What stands between two dollars in a name is no formula.
        "text.parse_math": False,
        **more,
    }
