"""One fault campaign's run with its verdict: `python -m tests.faults`."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from bench.apps import unwind_on_sigterm
from edge import cli
from edge.classifier import AT_LEAST_ONCE, EXACTLY_ONCE
from edge.delivery import COMMIT_INTERVAL_S
from edge.pubsub import CLIENTS, KAFKA_PYTHON
from tests.faults import report
from tests.faults.cluster import Cluster
from tests.faults.experiment import Plan, run
from tests.faults.faults import FAULTS, POISON, Injections
from tests.faults.progress import Line


class Faults(click.ParamType[tuple[Injections, ...]]):
    """`name[:count[:seconds]],…`"""

    name = "faults"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Injections, ...]:
        """The faults, or a usage error."""
        try:
            return tuple(Injections.parse(text) for text in value.split(",") if text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    context_settings={"show_default": True},
    epilog="Example: python -m tests.faults --requests 5000 --faults kill-classifier:3,kill-broker:1,poison:50",
)
@click.option("--requests", type=click.IntRange(1, 10_000_000), default=5000, help="How many are sent.")
@click.option("--rate", type=click.FloatRange(1, 100_000), default=500.0, help="Requests a second.")
@click.option(
    "--faults",
    type=Faults(),
    default="kill-classifier",
    metavar="NAME[:COUNT[:SECONDS]],…",
    help=f"Of {', '.join([*FAULTS, POISON])}.",
)
@click.option("--delivery", type=click.Choice([AT_LEAST_ONCE, EXACTLY_ONCE]), default=AT_LEAST_ONCE)
@cli.option("CLIENT", "--client", type=click.Choice(CLIENTS), default=KAFKA_PYTHON, help="Of each classifier.")
@click.option("--partitions", type=click.IntRange(1, 100), default=1, help="Of requests and predictions.")
@click.option("--classifiers", type=click.IntRange(1, 20), default=1, help="Members of the group.")
@click.option("--keys", type=click.IntRange(1, 10_000), default=4, help="Devices that send.")
@click.option("--seed", type=int, default=1, help="Of the moments of faults, and of the order of images.")
@click.option("--named/--unnamed", default=True, help="Whether classifiers have an --instance-id.")
@click.option("--nodes", type=click.Choice(["1", "3"]), default="1", help="Brokers.")
@click.option("--commit-interval", type=float, default=COMMIT_INTERVAL_S, help="Of each classifier, in seconds.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="The result goes there, too."
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- CLASSIFIER_OPTIONS]")
def main(
    requests: int,
    rate: float,
    faults: tuple[Injections, ...],
    delivery: str,
    partitions: int,
    classifiers: int,
    keys: int,
    seed: int,
    named: bool,
    nodes: str,
    commit_interval: float,
    json_path: Path | None,
    options: tuple[str, ...],
    client: str,
) -> None:
    """Send numbered requests with known answers through real classifiers and a real broker, harm them, and judge.

    What follows `--` goes to every classifier. Exits with 1 when a promise is broken.
    """
    group = (partitions, classifiers, keys, seed, named, commit_interval)
    plan = Plan(requests, rate, faults, delivery, *group, options, client)
    misfit = plan.misfit(int(nodes))
    if misfit is not None:
        raise click.UsageError(misfit)
    unwind_on_sigterm()
    with Cluster(int(nodes)) as cluster:
        result = run(plan, cluster, Line(plan))
    click.echo("", err=True)
    click.echo(report.text(result, result.failures()))
    if json_path is not None:
        json_path.write_text(json.dumps(report.document(result), indent=2) + "\n")
    sys.exit(1 if result.failures() else 0)


if __name__ == "__main__":
    cli.run(main, "tests.faults")
