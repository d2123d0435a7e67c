"""Draws the imports in layers: whoever imports stands above whom it imports."""

import json
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tests.architecture.graph import Edges, between_groups, between_packages, depths, described, reduced
from tests.architecture.imports import imports

WIDTH, LINE, GAP, PAD = 130.0, 2.6, 9.0, 1.6
"""In units of the drawing: about a character is 1 wide, a line of text LINE high."""
INK, BOX, LINES, LATE = "#222222", "#eef2f7", "#5b6b7f", "#b5651d"
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"


class Box(NamedTuple):
    """A box by its middle, and half of its sides."""

    x: float
    y: float
    half_width: float
    half_height: float


def write(path: Path) -> None:
    """Draw the imports as they are into an SVG that also holds them as JSON, for `read`."""
    data, found = described(), imports()
    contents = {name: _told(modules) for name, modules in data["groups"].items()}
    figure = Figure(figsize=(11, 13))
    above, below = figure.subplots(2, 1, height_ratios=(2.6, 10))
    _draw(above, "packages", dict.fromkeys(data["packages"], ""), between_packages(found))
    _draw(below, "edge/: groups of modules", contents, between_groups(found))
    figure.text(0.5, 0.008, _legend(), ha="center", fontsize=8, color=INK)
    figure.subplots_adjust(0.01, 0.03, 0.99, 0.97, hspace=0.06)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "architecture"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": json.dumps(data)})


def read(path: Path) -> Any:
    """What the picture in a file was made of."""
    (description,) = ElementTree.parse(path).iter(_DESCRIPTION)  # noqa: S314 - our own file
    return json.loads(description.text or "")


def _told(modules: Sequence[str]) -> str:
    """Their names; what all of them begin with is said once."""
    prefix = modules[0].partition("_")[0] + "_"
    shared = prefix if all(name.startswith(prefix) for name in modules) else ""
    names = ", ".join(name.removeprefix(shared) for name in modules)
    return f"{shared}…: {names}" if shared else names


def _legend() -> str:
    return (
        "An arrow leads from who imports to who is imported; one that other arrows make up for is left out. "
        "Dashed: imported by a function, when it is asked for."
    )


def _draw(axes: Axes, title: str, contents: Mapping[str, str], edges: Edges) -> None:
    boxes = _place(contents, depths(contents, edges))
    for name, box in boxes.items():
        _box(axes, box, name, _wrapped(contents[name], box.half_width))
    early = reduced(edges)
    for upper, lower in early:
        _arrow(axes, boxes[upper], boxes[lower], LINES, "-")
    for (upper, lower), is_late in edges.items():
        if is_late and boxes[upper].y < boxes[lower].y:
            _arrow(axes, boxes[upper], boxes[lower], LATE, "--")
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(min(b.y - b.half_height for b in boxes.values()) - 1, 1)
    axes.axis("off")


def _place(contents: Mapping[str, str], depth: Mapping[str, int]) -> dict[str, Box]:
    """Rows from the top down, each as high as its fullest box."""
    rows = defaultdict[int, list[str]](list)
    for name in contents:
        rows[depth[name]].append(name)
    boxes, top = dict[str, Box](), 0.0
    for level in sorted(rows, reverse=True):
        names = rows[level]
        half_width = min(22.0, WIDTH / len(names) / 2 - 2)
        half_height = max(LINE * (1 + len(_wrapped(contents[name], half_width))) for name in names) / 2 + PAD / 2
        for number, name in enumerate(names):
            boxes[name] = Box(WIDTH * (number + 0.5) / len(names), top - half_height, half_width, half_height)
        top -= 2 * half_height + GAP
    return boxes


def _wrapped(text: str, half_width: float) -> list[str]:
    return textwrap.wrap(text, int(2 * half_width * 1.05))


def _box(axes: Axes, box: Box, title: str, lines: Sequence[str]) -> None:
    corner, sides = (box.x - box.half_width, box.y - box.half_height), (2 * box.half_width, 2 * box.half_height)
    axes.add_patch(
        FancyBboxPatch(
            corner, *sides, boxstyle="round,pad=0,rounding_size=0.8", facecolor=BOX, edgecolor=LINES, zorder=4
        )
    )
    first = box.y + LINE * len(lines) / 2
    axes.text(box.x, first, title, ha="center", va="center", fontsize=9.5, fontweight="bold", color=INK, zorder=5)
    for number, line in enumerate(lines, 1):
        axes.text(box.x, first - LINE * number, line, ha="center", va="center", fontsize=8, color=INK, zorder=5)


def _arrow(axes: Axes, upper: Box, lower: Box, colour: str, style: str) -> None:
    """From a box's edge to another's, at places that lean towards each other."""
    is_down = upper.y > lower.y
    start = (_leaning(upper, lower), upper.y - upper.half_height if is_down else upper.y + upper.half_height)
    end = (_leaning(lower, upper), lower.y + lower.half_height if is_down else lower.y - lower.half_height)
    arrow = {"arrowstyle": "-|>", "color": colour, "linestyle": style, "shrinkA": 0, "shrinkB": 0, "linewidth": 1}
    axes.annotate("", end, start, arrowprops=arrow)


def _leaning(box: Box, other: Box) -> float:
    return box.x + max(-0.8, min(0.8, (other.x - box.x) / WIDTH * 1.6)) * box.half_width
