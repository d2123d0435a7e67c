"""The points of a cost curve, and how each is measured: a drain, or a schedule of a given rate."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import statistics
from bench.ceiling import ceiling
from bench.group import CLASSIFIER, Bench, Work, drained_by, preloaded
from bench.load import schedule
from bench.scaling import colour
from bench.systems import running, systems
from bench.usage import usage
from edge.images import Images
from edge.model import Model, load_model
from edge.pixels import JSON, NPY, OCTETS

_WARM_UP_S, _GRACE_S = 3.0, 10.0
_CEILING_S, _CEILING_BATCH = 0.3, 16
_MOST_BYTES = 200_000_000
"""Of one preloaded topic: so many fewer large images are sent."""
_FEWEST = 500


@dataclass(frozen=True)
class Axis:
    """What is varied: the key of its value in a row, its title, usual values, and the largest that works."""

    key: str
    title: str
    values: Sequence[int]
    most: int


AXES: Mapping[str, Axis] = {
    "rate": Axis("rate_per_s", "requests/s", (10, 50, 100, 200, 500, 1000, 2000), 100_000),
    "batch": Axis("max_batch", "--max-batch", (1, 2, 4, 8, 16, 32, 64, 128, 256), 4096),
    "partitions": Axis("partitions", "partitions", (1, 2, 4, 8, 16, 32, 64), 10_000),
    "payload": Axis("request_bytes", "bytes/request", (16, 32, 64, 128, 256, 512), 570),
}
"""The largest are what a driver in Python sends, --max-batch and --partitions take, and a record of 1 MB holds."""
MEASURES: Mapping[str, str] = {
    "images_per_s": "images/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "cpu_s_per_1000": "CPU s/1,000",
    "model_cpu_s_per_1000": "of it model alone",
    "broker_cpu_s_per_1000": "broker's CPU s/1,000",
    "cpu_share": "cores",
    "rss_peak_mb": "memory, MB",
}
"""What a row may hold, and how it is called."""
COUNTED = ("lost", "duplicated")


@dataclass(frozen=True)
class Setting:
    """What is the same for all points."""

    bench: Bench
    path: Path
    model: Model
    images: Images
    options: Sequence[str]
    delivery: str
    requests: int
    duration_s: float


@dataclass(frozen=True)
class Point:
    """One point of a curve; `work` is None where it is a rate that is measured."""

    name: str
    place: Mapping[str, int]
    work: Work | None = None
    series: str = ""
    options: Sequence[str] = ()
    known: Mapping[str, float] = field(default_factory=dict)


def points(setting: Setting, over: str, values: Sequence[int], folder: Path) -> list[Point]:
    """The points of a curve, their requests written; models go into `folder`."""
    if over == "rate":
        return [Point(f"{value}/s", {"rate_per_s": value}) for value in values]
    pixels = [image.tobytes() for image in setting.images.image]
    if over == "batch":
        work = preloaded(setting.bench, pixels, setting.requests, 1)
        return [_batch(setting, work, value) for value in values]
    if over == "partitions":
        works = [preloaded(setting.bench, pixels, setting.requests, value) for value in values]
        return [Point(f"{work.partitions} partitions", {"partitions": work.partitions}, work) for work in works]
    return [*_content_types(setting), *(_large(setting, value, folder) for value in values)]


def warm_up(setting: Setting) -> None:
    """Let the broker's compiler see the work before the first point."""
    options = [*setting.options, "--model", str(setting.path)]
    work = preloaded(setting.bench, [image.tobytes() for image in setting.images.image], setting.requests, 1)
    drained_by(setting.bench, work, CLASSIFIER, 1, options, setting.delivery)


def measure(setting: Setting, point: Point) -> dict[str, Any]:
    """One round at one point."""
    if point.work is None:
        return _at_rate(setting, point.place["rate_per_s"])
    options = [*setting.options, "--model", str(setting.path), *point.options]
    row = drained_by(setting.bench, point.work, CLASSIFIER, 1, options, setting.delivery)
    found = {key: row[key] for key in (*MEASURES, *COUNTED) if key in row}
    return {**found, "rss_peak_mb": row["rss_peak_bytes"] / 1e6, **point.known}


def _batch(setting: Setting, work: Work, value: int) -> Point:
    alone = ceiling(setting.model, setting.images.image, value, _CEILING_S)
    known = {"model_cpu_s_per_1000": alone.cpu_s_per_1000}
    return Point(f"--max-batch {value}", {"max_batch": value}, work, "", ["--max-batch", str(value)], known)


def _content_types(setting: Setting) -> list[Point]:
    """The same images, each content type as large as it comes."""
    shaped = setting.images.image
    encoded = {
        OCTETS: [image.tobytes() for image in shaped],
        NPY: [_npy(image) for image in shaped],
        JSON: [json.dumps(image.tolist()).encode() for image in shaped],
    }
    alone = ceiling(setting.model, setting.images.image, _CEILING_BATCH, _CEILING_S).cpu_s_per_1000
    return [
        Point(
            f"{setting.model.contract.name} as {kind}",
            {"request_bytes": round(sum(map(len, values)) / len(values))},
            preloaded(setting.bench, values, setting.requests, 1, kind),
            f"{setting.model.contract.name}, {kind}",
            known={"model_cpu_s_per_1000": alone},
        )
        for kind, values in encoded.items()
    ]


def _npy(image: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, image)
    return file.getvalue()


def _large(setting: Setting, side: int, folder: Path) -> Point:
    path = folder / f"colour-{side}.onnx"
    colour.write_model(path, side)
    images = colour.images(side, max(2, min(50, 2_000_000 // (3 * side * side))))
    size = images[0].nbytes
    count = min(setting.requests, max(_FEWEST, _MOST_BYTES // size))
    alone = ceiling(load_model(path), images, _CEILING_BATCH, _CEILING_S).cpu_s_per_1000
    return Point(
        f"an image of {side} by {side}",
        {"request_bytes": size},
        preloaded(setting.bench, [image.tobytes() for image in images], count, 1),
        "strongest colour, octets",
        ["--model", str(path)],
        {"model_cpu_s_per_1000": alone},
    )


def _at_rate(setting: Setting, rate_per_s: int) -> dict[str, Any]:
    chosen = systems(setting.path, setting.delivery, setting.options, floors=False)
    with running(setting.bench.cluster, chosen, setting.images) as (classifier,):
        classifier.driver.warm_up(classifier.app, rate_per_s, min(_WARM_UP_S, setting.duration_s))
        due = schedule.poisson(rate_per_s, setting.duration_s, 0)
        before, broker_s = usage(classifier.app.process.pid), setting.bench.broker_cpu_s()
        trace = classifier.driver.run(due, _GRACE_S)
        after, broker_s = usage(classifier.app.process.pid), setting.bench.broker_cpu_s() - broker_s
        classifier.app.check()
    answered = trace.answers > 0
    latency_ms = statistics.percentiles((trace.received_s - trace.intended_s)[answered] * 1000)
    cpu_s = after.cpu_s - before.cpu_s
    return {
        "p50_ms": latency_ms.get("p50"),
        "p99_ms": latency_ms.get("p99"),
        "cpu_s_per_1000": cpu_s / len(due) * 1000,
        "broker_cpu_s_per_1000": broker_s / len(due) * 1000 if setting.bench.broker_pid else None,
        "cpu_share": cpu_s / setting.duration_s,
        "rss_peak_mb": after.rss_bytes / 1e6,
        "lost": int((~answered).sum()),
        "duplicated": int((trace.answers > 1).sum()),
    }
