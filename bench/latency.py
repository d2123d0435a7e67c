"""End-to-end latency through Kafka at a given rate: `python -m bench.latency`."""

import json
import os
import platform
import uuid
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from bench import schedule, statistics
from bench.apps import App, broker, unwind_on_sigterm
from bench.driver import Driver, Topics, Trace
from edge import cli
from edge.classifier import EXACTLY_ONCE, delivery_option
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.images import load_images
from edge.model import load_model
from edge.query import SAMPLES

MODEL = Path("samples/lenet.onnx")
VERSIONS = ("kafka-python", "confluent-kafka", "onnxruntime", "numpy")


@click.command(epilog="Example: python -m bench.latency --rate 100 --duration 20")
@click.option("--rate", type=cli.Finite(min=1), default=100.0, show_default=True, help="Requests a second.")
@click.option("--duration", type=cli.Finite(min=1), default=20.0, show_default=True, help="Seconds measured.")
@click.option("--warm-up", type=cli.Finite(min=0), default=3.0, show_default=True, help="Seconds not measured.")
@click.option(
    "--grace",
    type=cli.Finite(min=0),
    default=10.0,
    show_default=True,
    help="Seconds after the last request in which its prediction still counts.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the schedule.")
@cli.option("MODEL", "--model", type=click.Path(path_type=Path), default=MODEL, help="The .onnx file to serve.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    default=SAMPLES,
    show_default=True,
    help="The images to send: .npz or IDX.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("latency.json"),
    show_default=True,
    help="Where the result goes as JSON.",
)
@delivery_option
@cli.cluster_or_own
@cli.verbose
def main(
    rate: float,
    duration: float,
    warm_up: float,
    grace: float,
    seed: int,
    model: Path,
    images: Path,
    output: Path,
    delivery: str,
    cluster: Cluster | None,
) -> None:
    """Measure the time from a request's intended sending to its prediction's arrival.

    Real images are sent to a classifier process on a Poisson schedule that is fixed before the run, so that a slow
    classifier does not slow the questions down and hide its slowness.
    """
    if not output.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {output.absolute().parent}", param_hint="--output")
    unwind_on_sigterm()
    sent = load_images(images)
    load_model(model)
    run = uuid.uuid4().hex[:8]
    topics = Topics(f"bench_request_{run}", f"bench_prediction_{run}")
    due = schedule.poisson(rate, duration, seed)
    with broker(cluster) as measured:
        _create(measured, topics)
        driver = Driver(measured, topics, sent)
        driver.start()
        with App(measured, "edge.classifier", *_options(topics, model, run, delivery)) as classifier:
            driver.warm_up(classifier, rate, warm_up)
            click.echo(f"measuring {len(due)} requests in {duration:g} s …", err=True)
            trace = driver.run(due, grace)
            classifier.check()
        driver.close()
    report = {**summary(trace), **_conditions(rate, duration, seed, model, delivery)}
    click.echo(table(report))
    output.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    click.echo(f"JSON: {output}")


def summary(trace: Trace) -> dict[str, Any]:
    """Counts, and latencies in milliseconds, of a run."""
    answered = trace.answers > 0
    intended_ms = (trace.received_s - trace.intended_s)[answered] * 1000
    sent_ms = (trace.received_s - trace.sent_s)[answered] * 1000
    return {
        "sent": len(trace.intended_s),
        "received": int(answered.sum()),
        "lost": int((~answered).sum()),
        "duplicated": int((trace.answers > 1).sum()),
        "latency_ms": statistics.percentiles(intended_ms),
        "latency_from_actual_send_ms": statistics.percentiles(sent_ms),
        "sender_lag_ms": statistics.percentiles((trace.sent_s - trace.intended_s) * 1000),
    }


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    rows = [
        ("latency_ms", "latency, ms"),
        ("latency_from_actual_send_ms", "  from actual send"),
        ("sender_lag_ms", "sender's lag, ms"),
    ]
    names = [*statistics.SAMPLES_NEEDED, "max"]
    lines = [
        f"{report['delivery']}, rate {report['rate_per_s']:g}/s for {report['duration_s']:g} s: sent {report['sent']}, "
        f"received {report['received']}, lost {report['lost']}, duplicated {report['duplicated']}",
        f"{'':18}" + "".join(f"{name:>9}" for name in names),
    ]
    for key, title in rows:
        cells = [f"{report[key][name]:9.2f}" if name in report[key] else f"{'-':>9}" for name in names]
        lines.append(f"{title:18}" + "".join(cells))
    missing = [
        f"{name} needs {count:,}"
        for name, count in statistics.SAMPLES_NEEDED.items()
        if name not in report["latency_ms"]
    ]
    return "\n".join([*lines, *([f"- too few samples: {', '.join(missing)}"] if missing else [])])


def _create(cluster: Cluster, topics: Topics) -> None:
    with cluster.connect() as pubsub:
        pubsub.create_topic(topics.requests, 1, REQUEST_TOPIC_CONFIG, "WRITE")
        pubsub.create_topic(topics.predictions, right="READ")


def _options(topics: Topics, model: Path, run: str, delivery: str) -> list[str]:
    return [
        "--model",
        str(model.resolve()),
        "--group",
        f"bench-{run}",
        "--request-topic",
        topics.requests,
        "--prediction-topic",
        topics.predictions,
        "--delivery",
        delivery,
        *(["--instance-id", f"bench-{run}"] if delivery == EXACTLY_ONCE else []),
    ]


def _conditions(rate: float, duration: float, seed: int, model: Path, delivery: str) -> dict[str, Any]:
    return {
        "rate_per_s": rate,
        "duration_s": duration,
        "schedule": "poisson",
        "seed": seed,
        "model": model.name,
        "delivery": delivery,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
    }


if __name__ == "__main__":
    cli.run(main, "bench.latency")
