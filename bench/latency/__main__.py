"""End-to-end latency through Kafka: `python -m bench.latency`.

The result is a document of `bench.result`. PCT stands for {"p50", "p90", "p99", "p99.9", "max"} in milliseconds, each
only where there are samples enough for it. `ratio_to_echo` is empty without floors.

fixed-rate, single-stream: {"ratio_to_echo": {"p50", "p90", …, "rounds_p50": [one a round]}, "systems": {NAME:
    {"sent", "received", "lost", "duplicated", "late", "latency_ms": PCT, "latency_from_actual_send_ms": PCT,
    "sender_lag_ms": PCT, "stages_ms": {STAGE: PCT} or {}, "staged": requests that the stages are of,
    "histogram": HdrHistogram V2 of microseconds in base64, "rounds": [counts and "latency_ms" of each]}}}
server: {"ratio_to_echo": {"rate"}, "systems": {NAME: {"rate_per_s": highest that kept the bound, "failed_rate_per_s":
    lowest that did not, or null, "latency_ms": PCT, "histogram", "steps": [{"rate_per_s", "is_kept", "is_cut",
    "planned", counts, "latency_ms": PCT, "sender_lag_ms": PCT, "histogram"}]}}}
offline: {"ratio_to_echo": {"images_per_s"}, "systems": {NAME: {"requests", "answered", "lost", "duplicated",
    "images_per_s": the rounds' median, "rounds": [{the same, "seconds"}]}}}
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench import result
from bench.apps import broker, unwind_on_sigterm
from bench.group import fitting
from bench.latency import fixed_rate, offline, server, single_stream, table
from bench.latency.conditions import Conditions
from bench.load.schedule import SCHEDULES
from bench.options import model_option
from bench.systems import System, systems
from edge import cli, cluster_options
from edge.classifier import delivery_option
from edge.cluster import Cluster
from edge.images import Images
from edge.query import SAMPLES

DURATION_S, STEP_S = 20.0, 4.0

Measure = Callable[[Cluster, Sequence[System], Images, Conditions], dict[str, Any]]
SCENARIOS: Mapping[str, tuple[Measure, Callable[[Mapping[str, Any]], str]]] = {
    "fixed-rate": (fixed_rate.measure, table.latencies),
    "single-stream": (single_stream.measure, table.latencies),
    "server": (server.measure, table.rates),
    "offline": (offline.measure, table.drains),
}
"""By name: how to measure, and how to show what was found."""


@click.command(
    epilog="Example: python -m bench.latency --rate 100 --duration 20 -- --max-batch 8",
)
@click.option(
    "--scenario",
    type=click.Choice(list(SCENARIOS)),
    default="fixed-rate",
    show_default=True,
    help="single-stream sends one request at a time; server looks for the highest rate whose p99 stays within "
    "--bound; offline drains a topic that was filled before.",
)
@click.option(
    "--rate", type=cli.Finite(min=1), default=100.0, show_default=True, help="Requests a second; server starts with it."
)
@click.option(
    "--schedule",
    type=click.Choice(list(SCHEDULES)),
    default="poisson",
    show_default=True,
    help="How requests are spaced.",
)
@click.option(
    "--duration",
    type=cli.Finite(min=1),
    help=f"Seconds measured of each system; for server, of a step.  [default: {DURATION_S:g}; server: {STEP_S:g}]",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=6, show_default=True, help="In so many parts, systems taking turns."
)
@click.option("--warm-up", type=cli.Finite(min=0), default=5.0, show_default=True, help="Seconds not measured.")
@click.option(
    "--grace",
    type=cli.Finite(min=0),
    default=10.0,
    show_default=True,
    help="Seconds after the last request in which an answer still counts.",
)
@click.option(
    "--late-after",
    type=cli.Finite(min=0),
    default=100.0,
    show_default=True,
    help="Milliseconds after which it counts as late.",
)
@click.option(
    "--bound", type=cli.Finite(min=0.1), default=20.0, show_default=True, help="For server: milliseconds for the p99."
)
@click.option(
    "--requests", type=click.IntRange(min=100), default=20_000, show_default=True, help="For offline: how many."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the schedule.")
@click.option(
    "--floors/--no-floors",
    default=True,
    show_default=True,
    help="Measure the loop without a model and the bare client, too.",
)
@model_option
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    default=SAMPLES,
    show_default=True,
    help="The images to send: .npz or IDX.",
)
@result.output_option("latency.json")
@delivery_option
@cluster_options.cluster_or_own
@cli.verbose
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- CLASSIFIER_OPTIONS]")
def main(
    scenario: str,
    rate: float,
    schedule: str,
    duration: float | None,
    rounds: int,
    warm_up: float,
    grace: float,
    late_after: float,
    bound: float,
    requests: int,
    seed: int,
    floors: bool,
    model: Path,
    images: Path,
    output: Path,
    delivery: str,
    cluster: Cluster | None,
    options: tuple[str, ...],
) -> None:
    """Measure the time from a request's intended sending to its prediction's arrival.

    Real images are sent to a classifier process on a schedule that is fixed before the run, so that a slow classifier
    does not slow the questions down and hide its slowness. The same is done to its loop without a model (echo), and to
    a bare loop of the same Kafka client; what follows `--` goes to the classifier and its echo. On a cluster that is
    named, the topics bench_… remain.
    """
    unwind_on_sigterm()
    served, sent = fitting(model, images, options)
    length_s = duration or (STEP_S if scenario == "server" else DURATION_S)
    conditions = Conditions(rate, schedule, length_s, warm_up, grace, late_after, bound, requests, rounds, seed)
    measure, show = SCENARIOS[scenario]
    with broker(cluster) as measured:
        results = measure(measured, systems(model, delivery, options, floors), sent, conditions)
    configuration = {
        "scenario": scenario,
        **vars(conditions),
        "floors": floors,
        "model": model.name,
        "model_sha256": served.sha256,
        "images": images.name,
        "client": cluster_options.chosen_client() if cluster is None else cluster.client,
        "delivery": delivery,
        "options": list(options),
        "own_broker": cluster is None,
    }
    click.echo(", ".join([scenario, delivery, configuration["client"], *([" ".join(options)] if options else [])]))
    click.echo(show(results))
    result.write(output, result.document("latency", configuration, results))


if __name__ == "__main__":
    cli.run(main, "bench.latency")
