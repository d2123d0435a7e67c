"""The drawings of each benchmark: a result in, named matplotlib Figures out; no global state."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.plots import GREY, Drawing, bars, colour, figure_of, line, plain, scale

_PERCENTILES = np.concatenate([[0.0], 100 - 100 / np.logspace(0.05, 5, 200)])
_PANELS = {
    "images/s": ["images_per_s"],
    "latency, ms": ["p50_ms", "p99_ms"],
    "CPU s/1,000": ["cpu_s_per_1000", "model_cpu_s_per_1000", "broker_cpu_s_per_1000"],
}
"""Of a cost curve."""

Result = Mapping[str, Any]


def drawings(result: Result) -> dict[str, Drawing]:
    """What can be drawn of a result, by names that fit a file; nothing of one that is not known here."""
    kind = result["benchmark"]
    found = _KINDS[kind](result["results"]) if kind in _KINDS else ()
    return {f"{kind}-{name}": drawing for name, drawing in found}


def _throughput(results: Result) -> Iterator[tuple[str, Drawing]]:
    rows = results["classifier"]
    yield "processes", functools.partial(_processes, rows)
    ours = {f"classifiers: {row['processes']}": row["images_per_s"] for row in rows}
    values = {
        **ours,
        "echo, no model: 1": results["echo"]["images_per_s"],
        **{f"onnxruntime alone, batch {row['batch']}": row["images_per_s"] for row in results["ceiling"]},
    }
    yield "limits", functools.partial(bars, "Against our echo and onnxruntime alone", "images/s", values, ours)


def _processes(rows: Sequence[Result]) -> Figure:
    figure, axes = figure_of("Throughput of one consumer group", "processes", "images/s")
    line(axes, 0, "classifiers", [(row["processes"], row["images_per_s"]) for row in rows])
    first = rows[0]["images_per_s"]["median"] / rows[0]["processes"]
    ends = [row["processes"] for row in rows]
    axes.plot(ends, [first * count for count in ends], ":", color=GREY, label="in proportion to one")
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
    yield "stages", functools.partial(bars, "From exec to the first prediction", "s", values, values)


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
        yield "offline", functools.partial(bars, "A preloaded topic worked off", "images/s", rates, ["classifier"])


def _percentiles(systems: Mapping[str, Result]) -> Figure:
    """As HdrHistogram draws it: each step to the right is a tenth of the requests that are left."""
    figure, axes = figure_of("Latency from the intended send", "percentile", "ms")
    largest = 0
    for index, (name, system) in enumerate(systems.items()):
        if not system.get("histogram"):
            continue
        histogram = HdrHistogram.decode(system["histogram"])
        count = histogram.get_total_count()
        largest = max(largest, count)
        ranks = [rank for rank in _PERCENTILES if 100 / (100 - rank) <= count]
        values = [histogram.get_value_at_percentile(rank) / 1000 for rank in ranks]
        axes.plot([100 / (100 - rank) for rank in ranks], values, color=colour(index), label=name)
    ticks = {1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 10_000: "99.99", 100_000: "99.999"}
    shown = {at: f"{text} %" for at, text in ticks.items() if at <= max(10, largest)}
    axes.set_xscale("log")
    axes.set_xticks(list(shown), list(shown.values()))
    axes.minorticks_off()
    scale(axes)
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
        axes.barh(list(found), widths, left=left, label=stage, color=colour(index))
        left += widths
    axes.invert_yaxis()
    axes.set(title="Stages of a request, median of each", xlabel="ms")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _rates(systems: Mapping[str, Result]) -> Figure:
    figure, axes = figure_of("Latency against rate", "requests/s", "ms")
    for index, (name, system) in enumerate(systems.items()):
        for percentile, style in (("p50", "-"), ("p99", ":")):
            steps = [s for s in system.get("steps", ()) if not s.get("is_cut") and percentile in s["latency_ms"]]
            points = sorted((step["rate_per_s"], step["latency_ms"][percentile]) for step in steps)
            if points:
                line(axes, index, f"{name}, {percentile}", points, style)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain())
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _peers(results: Result) -> Iterator[tuple[str, Drawing]]:
    systems: Sequence[Result] = results["systems"]
    ours = [system["title"] for system in systems if system["kind"] == "ours"]
    rates = {system["title"]: system["images_per_s"] for system in systems if "images_per_s" in system}
    yield "throughput", functools.partial(bars, "A preloaded topic worked off by one process", "images/s", rates, ours)
    for percentile in ("p50", "p99"):
        values = {
            system["title"]: system["latency_ms"][percentile]
            for system in systems
            if percentile in system.get("latency_ms", {})
        }
        if values:
            yield percentile, functools.partial(bars, f"Latency, {percentile}", "ms", values, ours)


def _precision(results: Result) -> Iterator[tuple[str, Drawing]]:
    models: Sequence[Result] = results["models"]
    values = {
        f"{model['model']}, batch {batch}": found
        for batch in models[0]["us_an_image"]
        for model in models
        if (found := model["us_an_image"].get(batch)) is not None
    }
    first = [name for name in values if name.startswith(f"{models[0]['model']}, ")]
    yield "times", functools.partial(bars, "One thread of onnxruntime", "µs an image", values, first)


def _scaling(results: Result) -> Iterator[tuple[str, Drawing]]:
    yield str(results["over"]), functools.partial(_curves, results)


def _curves(results: Result) -> Figure:
    """A panel for each kind of measure, over the same axis; of several series, a panel shows its first measure."""
    rows: Sequence[Result] = results["rows"]
    series = list(dict.fromkeys(row["series"] for row in rows))
    panels = [(title, [key for key in keys if any(key in row for row in rows)]) for title, keys in _PANELS.items()]
    panels = [(title, keys[:1] if len(series) > 1 else keys) for title, keys in panels if keys]
    figure = Figure(figsize=(7.2, 1 + 2.2 * len(panels)), layout="constrained")
    for axes, (title, keys) in zip(np.atleast_1d(figure.subplots(len(panels), sharex=True)), panels, strict=True):
        curves = [(name, key) for name in series for key in keys]
        for index, (name, key) in enumerate(curves):
            drawn = [(row[results["axis"]], row[key]) for row in rows if row["series"] == name and key in row]
            line(axes, index, name or results["measures"][key], drawn)
        scale(axes)
        axes.set_ylabel(title)
        if len(curves) > 1 and (len(keys) > 1 or axes.get_subplotspec().is_first_row()):
            axes.legend(fontsize=8)
    axes.set(xscale="log", xlabel=results["title"])
    longest = max(series, key=lambda name: sum(row["series"] == name for row in rows))
    ticks = sorted({row[results["axis"]] for row in rows if row["series"] == longest})
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()
    figure.suptitle(f"How cost grows with {results['title']}", fontsize=12)
    return figure


_KINDS: Mapping[str, Callable[[Result], Iterator[tuple[str, Drawing]]]] = {
    "latency": _latency,
    "throughput": _throughput,
    "startup": _startup,
    "scaling": _scaling,
    "peers": _peers,
    "precision": _precision,
}
