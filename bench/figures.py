"""The drawings of the report: a result in, named matplotlib Figures out; no global state."""

import functools
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from hdrh.histogram import HdrHistogram
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.spread import is_spread, number

COLOURS = ("#2a8fd0", "#e0762f", "#1fa37a", "#8c8c8c", "#cc79a7", "#c9a227", "#7a6fd0", "#a0522d")
"""Near Okabe and Ito's palette for colour-blind readers, and to be seen on white and on black; markers differ, too."""
MARKERS = "osD^vPX*"
_INK = "#010203"
"""Stands for the page's own colour of text, which is light in the dark."""
_PERCENTILES = np.concatenate([[0.0], 100 - 100 / np.logspace(0.05, 5, 200)])

Drawing = Callable[[], Figure]
Result = Mapping[str, Any]


def drawings(result: Result) -> dict[str, Drawing]:
    """What can be drawn of a result, by names that fit a file; nothing of one that is not known here."""
    kind = str(result["benchmark"])
    if kind not in _KINDS:
        return {}
    return {f"{kind}-{name}": drawing for name, drawing in _KINDS[kind](result["results"])}


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


def _style(ink: str, **more: str) -> Any:
    """matplotlib's settings, which have a type of their own there."""
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    return dict.fromkeys(names, ink) | {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": COLOURS[3],
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "font.size": 10,
        "errorbar.capsize": 4,
        **more,
    }


def _figure(title: str, x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    return figure, axes


def _line(axes: Any, index: int, label: str, points: Sequence[tuple[float, Any]]) -> None:
    """One curve; a spread is drawn with the range of its rounds."""
    x = [at for at, _ in points]
    y = [value["median"] if is_spread(value) else value for _, value in points]
    ranges = [
        (value["median"] - value["low"], value["high"] - value["median"]) if is_spread(value) else (0, 0)
        for _, value in points
    ]
    style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "label": label}
    axes.errorbar(x, y, np.transpose(ranges) if ranges else None, markersize=5, **style)


def bars(title: str, x: str, values: Mapping[str, Any], ours: int = 1) -> Figure:
    """A horizontal bar for each name, the first few being ours; a spread is drawn with the range of its rounds."""
    figure = Figure(figsize=(7.2, 1.4 + 0.42 * len(values)), layout="constrained")
    axes = figure.subplots()
    for row, value in enumerate(values.values()):
        middle = value["median"] if is_spread(value) else value
        ranges = [[middle - value["low"]], [value["high"] - middle]] if is_spread(value) else None
        axes.barh(row, middle, xerr=ranges, color=COLOURS[0 if row < ours else 3], ecolor=mpl.rcParams["text.color"])
        axes.annotate(f" {number(middle)}", (ranges[1][0] + middle if ranges else middle, row), va="center")
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set(title=title, xlabel=x)
    return figure


def _throughput(results: Result) -> Iterator[tuple[str, Drawing]]:
    rows = results["classifier"]
    yield "processes", functools.partial(_processes, rows)
    values = {
        **{f"classifiers: {row['processes']}": row["images_per_s"] for row in rows},
        "echo, no model: 1": results["echo"]["images_per_s"],
        **{f"onnxruntime alone, batch {row['batch']}": row["images_per_s"] for row in results["ceiling"]},
    }
    yield "limits", functools.partial(bars, "Against our echo and onnxruntime alone", "images/s", values, len(rows))


def _processes(rows: Sequence[Result]) -> Figure:
    figure, axes = _figure("Throughput of one consumer group", "processes", "images/s")
    _line(axes, 0, "classifiers", [(row["processes"], row["images_per_s"]) for row in rows])
    first = rows[0]["images_per_s"]["median"] / rows[0]["processes"]
    ends = [row["processes"] for row in rows]
    axes.plot(ends, [first * count for count in ends], ":", color=COLOURS[3], label="in proportion to one")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def _startup(results: Result) -> Iterator[tuple[str, Drawing]]:
    names = {
        "first_prediction_s": "first prediction",
        "assigned_s": "partitions assigned",
        "model_ready_s": "model ready",
        "import_s": "of it, imports",
        "interpreter_s": "bare Python",
    }
    values = {title: results["startup"][name] for name, title in names.items() if name in results["startup"]}
    yield "stages", functools.partial(bars, "From exec to the first prediction", "s", values)


def _latency(results: Result) -> Iterator[tuple[str, Drawing]]:
    systems: Mapping[str, Result] = results["systems"]
    if any(system.get("histogram") for system in systems.values()):
        yield "percentiles", functools.partial(_percentiles, systems)
    if any(system.get("stages_ms") for system in systems.values()):
        yield "stages", functools.partial(_stages, systems)
    if any(system.get("steps") for system in systems.values()):
        yield "rates", functools.partial(_rates, systems)
    rates = {name: system["images_per_s"] for name, system in systems.items() if "images_per_s" in system}
    if rates:
        yield "offline", functools.partial(bars, "A preloaded topic worked off", "images/s", rates)


def _percentiles(systems: Mapping[str, Result]) -> Figure:
    """As HdrHistogram draws it: each step to the right is a tenth of the requests that are left."""
    figure, axes = _figure("Latency from the intended send", "percentile", "ms")
    largest = 0
    for index, (name, system) in enumerate(systems.items()):
        if not system.get("histogram"):
            continue
        histogram = HdrHistogram.decode(system["histogram"])
        count = histogram.get_total_count()
        largest = max(largest, count)
        ranks = [rank for rank in _PERCENTILES if 100 / (100 - rank) <= count]
        values = [histogram.get_value_at_percentile(rank) / 1000 for rank in ranks]
        axes.plot([100 / (100 - rank) for rank in ranks], values, color=COLOURS[index % len(COLOURS)], label=name)
    ticks = {1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 10_000: "99.99", 100_000: "99.999"}
    shown = {at: f"{text} %" for at, text in ticks.items() if at <= max(10, largest)}
    axes.set_xscale("log")
    axes.set_xticks(list(shown), list(shown.values()))
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def _stages(systems: Mapping[str, Result]) -> Figure:
    found = {name: system["stages_ms"] for name, system in systems.items() if system.get("stages_ms")}
    stages = list(dict.fromkeys(stage for system in found.values() for stage in system))
    figure = Figure(figsize=(7.2, 1.8 + 0.5 * len(found)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(found))
    for index, stage in enumerate(stages):
        widths = np.array([system.get(stage, {}).get("p50", 0.0) for system in found.values()])
        axes.barh(list(found), widths, left=left, label=stage, color=COLOURS[index % len(COLOURS)])
        left += widths
    axes.invert_yaxis()
    axes.set(title="Stages of a request, median of each", xlabel="ms")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _rates(systems: Mapping[str, Result]) -> Figure:
    figure, axes = _figure("Latency against rate", "requests/s", "ms")
    curves = 0
    for name, system in systems.items():
        for percentile in ("p50", "p99"):
            steps = [s for s in system.get("steps", ()) if not s.get("is_cut") and percentile in s["latency_ms"]]
            points = sorted((step["rate_per_s"], step["latency_ms"][percentile]) for step in steps)
            if points:
                _line(axes, curves, f"{name}, {percentile}", points)
            curves += 1
    axes.set_yscale("log")
    axes.legend()
    return figure


def _scaling(results: Result) -> Iterator[tuple[str, Drawing]]:
    yield str(results["over"]), functools.partial(_curves, results)


def _curves(results: Result) -> Figure:
    """One panel for each measure, over the same axis; one curve for each series."""
    rows: Sequence[Result] = results["rows"]
    measures = [(key, title) for key, title in results["measures"].items() if any(key in row for row in rows)]
    figure = Figure(figsize=(7.2, 2.4 * len(measures)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(measures), sharex=True))
    for axes, (key, title) in zip(panels, measures, strict=True):
        for index, series in enumerate(dict.fromkeys(row.get("series", "") for row in rows)):
            points = [
                (row[results["axis"]], row[key]) for row in rows if row.get("series", "") == series and key in row
            ]
            _line(axes, index, series, points)
        axes.set(ylabel=title, xscale="log")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ticks = sorted({row[results["axis"]] for row in rows})
    panels[-1].set_xticks(ticks, [f"{tick:,g}" for tick in ticks], rotation=30 if len(ticks) > 6 else 0)
    panels[-1].minorticks_off()
    panels[-1].set_xlabel(results["title"])
    if any(row.get("series") for row in rows):
        panels[0].legend()
    return figure


_KINDS: Mapping[str, Callable[[Result], Iterator[tuple[str, Drawing]]]] = {
    "latency": _latency,
    "throughput": _throughput,
    "startup": _startup,
    "scaling": _scaling,
}
