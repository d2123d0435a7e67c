"""How many images a second a group of classifiers answers, and at what cost: `python -m bench.throughput`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from bench import result, wire
from bench.apps import broker_process, unwind_on_sigterm
from bench.ceiling import batches, ceiling
from bench.errors import AppError
from bench.grid import Grid
from bench.group import (
    CLASSIFIER,
    COUNTS,
    ECHO,
    MEASURES,
    REBALANCE,
    Bench,
    Work,
    drained_by,
    loaded,
    parameters,
    preloaded,
)
from bench.options import Setup, of_classifiers, rounds_option, timeout_option
from bench.spread import Spread, shown, spread, spreads
from edge import cli
from edge.images import Images
from edge.model import Model

_CEILING_S = 0.5

Row = dict[str, Any]


@click.command(epilog="Example: python -m bench.throughput --requests 20000 -- --max-batch 128")
@click.option(
    "--requests", type=click.IntRange(min=1000), default=50_000, show_default=True, help="Requests for each process."
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=min(64, os.cpu_count() or 1),
    show_default="the number of cores",
    help="Most processes in one group.",
)
@rounds_option
@timeout_option
@of_classifiers("throughput.json")
def main(requests: int, processes: int, rounds: int, timeout: float, setup: Setup) -> None:
    """Let one classifier work off a preloaded topic, then two … in one group over as many partitions.

    Each round measures them in another order, with our echo (the same loop without a model) and onnxruntime alone.
    Options after -- go to the classifier and the echo.
    """
    unwind_on_sigterm()
    model, images = loaded(setup)
    max_batch = parameters(setup.options)["max_batch"]
    configuration = {
        "requests_per_process": requests,
        "processes": processes,
        "rounds": rounds,
        "max_batch": max_batch,
        **setup.configuration,
    }
    with broker_process(setup.cluster, REBALANCE) as (measured, kafka):
        bench = Bench(measured, kafka, timeout)
        results = measure(bench, setup, model, images, max_batch, requests, processes, rounds)
    click.echo(grid(results).text())
    result.write(setup.output, result.document("throughput", configuration, results))
    if lost := sum(row["lost"] for row in results["runs"]):
        raise AppError(f"{lost} requests were not answered within {timeout:g} s")


def measure(
    bench: Bench,
    setup: Setup,
    model: Model,
    images: Images,
    max_batch: int,
    requests: int,
    processes: int,
    rounds: int,
) -> dict[str, Any]:
    """All rounds, and what they come to."""
    values = [image.tobytes() for image in images.image]
    click.echo("warming the broker up …", err=True)
    drained_by(bench, preloaded(bench, values, requests, 1), CLASSIFIER, 1, setup.options, setup.delivery)
    works, writing = {}, []
    for count in range(1, processes + 1):
        click.echo(f"writing {count * requests:,} requests to {count} partitions …", err=True)
        works[count], cost = wire.written(bench, values, count * requests, count)
        writing.append(cost)
    limits, runs = [], []
    for number in range(rounds):
        limits += [
            {"round": number, **asdict(ceiling(model, images.image, batch, _CEILING_S))} for batch in batches(max_batch)
        ]
        for app, work in _order(works, number):
            row = drained_by(bench, work, app, work.partitions, setup.options, setup.delivery)
            told = f"{app} in {work.partitions} processes: {row['images_per_s']:,.0f} images/s"
            click.echo(f"round {number + 1} of {rounds}: {told}", err=True)
            runs.append({"round": number, **row})
    return {
        **summary(runs, limits, max_batch),
        "wire": _wire(bench, works[1], runs, writing),
        "runs": runs,
        "ceiling_runs": limits,
    }


def _order(works: Mapping[int, Work], number: int) -> Iterator[tuple[str, Work]]:
    """What one round measures; each round begins elsewhere, so that what drifts does not favour one of them."""
    pairs = [(CLASSIFIER, works[1]), (ECHO, works[1]), *((CLASSIFIER, works[n]) for n in works if n > 1)]
    start = number % len(pairs)
    yield from pairs[start:]
    yield from pairs[:start]


def summary(runs: Sequence[Row], limits: Sequence[Row], max_batch: int) -> dict[str, Any]:
    """Spreads over the rounds; a ratio is taken within its round, where both sides saw the same machine."""
    counts = sorted({row["processes"] for row in runs})
    groups = [[row for row in runs if row["app"] == CLASSIFIER and row["processes"] == count] for count in counts]
    echoes = [row for row in runs if row["app"] == ECHO]
    sizes = sorted({row["batch"] for row in limits})
    at_most = [row for row in limits if row["batch"] == max(size for size in sizes if size <= max_batch)]
    return {
        "classifier": [
            {"processes": count, "partitions": rows[0]["partitions"], **_come_to(rows)}
            for count, rows in zip(counts, groups, strict=True)
        ],
        "echo": _come_to(echoes),
        "ceiling": [
            {"batch": size, **spreads([row for row in limits if row["batch"] == size], MEASURES)} for size in sizes
        ],
        "ratios": {
            "one_process_to_echo": _ratio(groups[0], echoes),
            "one_process_to_echo_by_cpu": _ratio_by_cpu(groups[0], echoes),
            "one_process_to_ceiling": {"batch": at_most[0]["batch"], **(_ratio(groups[0], at_most) or {})},
            "one_process_to_ceiling_by_cpu": _ratio_by_cpu(groups[0], at_most),
            "processes_to_one": [
                {"processes": count, **(_ratio(rows, groups[0]) or {})}
                for count, rows in zip(counts[1:], groups[1:], strict=True)
            ],
        },
    }


def _come_to(rows: Sequence[Row]) -> dict[str, Any]:
    return {**spreads(rows, MEASURES), **{name: sum(row[name] for row in rows) for name in COUNTS}}


def _ratio(above: Sequence[Row], below: Sequence[Row]) -> Spread | None:
    rates = {row["round"]: row["images_per_s"] for row in below}
    found = [row["images_per_s"] / rates[row["round"]] for row in above if rates.get(row["round"])]
    return spread(found) if found else None


def _ratio_by_cpu(above: Sequence[Row], below: Sequence[Row]) -> Spread | None:
    """What the ratio of the rates would be if CPU were all that there is: others on the machine disturb it less."""
    costs = {row["round"]: row.get("cpu_s_per_1000") for row in below}
    both = [(row.get("cpu_s_per_1000"), costs.get(row["round"])) for row in above]
    found = [other / own for own, other in both if own and other]
    return spread(found) if found else None


def _wire(bench: Bench, work: Work, runs: Sequence[Row], writing: Sequence[Row]) -> dict[str, Any]:
    topic = next(row["prediction_topic"] for row in runs if row["app"] == CLASSIFIER and row["processes"] == 1)
    found: dict[str, Any] = {
        "writing_requests": spreads(writing, writing[0]),
        "reading_predictions": wire.read(bench, topic),
    }
    if bench.kafka is not None:
        found["request_log_bytes"] = wire.log_bytes(bench.kafka, work.topic) / work.requests
        found["prediction_log_bytes"] = wire.log_bytes(bench.kafka, topic) / work.requests
    return found


def grid(results: Mapping[str, Any]) -> Grid:
    """The result for people."""
    rows = [(f"classifiers: {row['processes']}", row) for row in results["classifier"]]
    rows += [("echo, no model: 1", results["echo"])]
    rows += [(f"onnxruntime alone, batch {row['batch']}", row) for row in results["ceiling"]]
    ratios = results["ratios"]
    limit = ratios["one_process_to_ceiling"]
    return Grid(
        ["", "images/s", "CPU s/1,000", "RSS, MB", "lost", "twice"],
        [_line(name, row) for name, row in rows],
        [
            f"one process to our echo: {shown(ratios['one_process_to_echo'], 2)}"
            f"; by CPU: {shown(ratios['one_process_to_echo_by_cpu'], 2)}",
            f"one process to onnxruntime alone at batch {limit['batch']}: {shown(limit, 2)}"
            f"; by CPU: {shown(ratios['one_process_to_ceiling_by_cpu'], 2)}",
            *(f"{row['processes']} processes to one: {shown(row, 2)}" for row in ratios["processes_to_one"]),
        ],
    )


def _line(name: str, row: Mapping[str, Any]) -> list[str]:
    memory = f"{row['rss_peak_bytes']['high'] / 1e6:.0f}" if "rss_peak_bytes" in row else ""
    rates = [shown(row.get("images_per_s")), shown(row.get("cpu_s_per_1000"), 4)]
    return [name, *rates, memory, *(str(row.get(count, "")) for count in COUNTS)]


if __name__ == "__main__":
    cli.run(main, "bench.throughput")
