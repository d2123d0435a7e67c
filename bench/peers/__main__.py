"""Our classifier beside other frameworks on the same work: `python -m bench.peers`."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench import result
from bench.apps import broker, unwind_on_sigterm
from bench.errors import AppError
from bench.group import fitting, parameters
from bench.options import images_option, model_option, rounds_option
from bench.peers.measure import Bench
from bench.peers.rounds import RATE_PER_S, Findings, Plan, install, measure, seconds_of
from bench.peers.summary import results
from bench.peers.systems import SYSTEMS, System
from bench.peers.table import markdown, verdicts
from edge import cli

MOST_LOAD = 0.5
"""Processes that may have been running on average in the last minute: the bench itself needs two cores."""


def check_names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[System, ...]:
    """A callback that accepts names of systems, joined by commas; without any it gives all."""
    known = {system.name: system for system in SYSTEMS}
    names = list(known) if value is None else value.split(",")
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}")
    return tuple(system for name, system in known.items() if name in names)


@click.command(epilog="Example: python -m bench.peers --rounds 1 --systems ours-kafka-python,quix")
@rounds_option
@click.option(
    "--systems",
    "chosen",
    metavar="NAME,…",
    callback=check_names,
    help=f"Measure only these of {', '.join(system.name for system in SYSTEMS)}.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=64),
    default=2_240,
    show_default=True,
    help="Requests whose latency is measured, for each system and round.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of schedules and order.  [default: by chance]")
@click.option("--skip-latency", is_flag=True, help="Measure only how fast a topic is drained.")
@click.option("--skip-drain", is_flag=True, help="Measure only the latency.")
@model_option
@images_option
@result.output_option("peers.json")
@cli.verbose
def main(
    rounds: int,
    chosen: Sequence[System],
    requests: int,
    seed: int | None,
    skip_latency: bool,
    skip_drain: bool,
    model: Path,
    images: Path,
    output: Path,
) -> None:
    """Compare our classifier with other frameworks: same broker, model, requests and driver, one process each.

    Starts a broker of its own, and prints a table in Markdown and whether our bars are met. Each peer runs in an
    environment of its own, which is made the first time; one that cannot be made is left out, and the exit code says
    so.
    """
    if skip_latency and skip_drain:
        raise click.UsageError("--skip-latency and --skip-drain leave nothing to measure")
    unwind_on_sigterm()
    served, sent = fitting(model, images, [])
    seed = secrets.randbelow(2**31) if seed is None else seed
    plan = Plan(rounds, requests, seed, not skip_latency, not skip_drain)
    findings = Findings()
    able = install(chosen, findings)
    minutes = len(able) * seconds_of(plan) / 60
    click.echo(
        f"systems: {len(able)}, rounds: {rounds}, in an order of chance (--seed {seed}): {minutes:.0f} min", err=True
    )
    if (load := os.getloadavg()[0]) > MOST_LOAD:
        click.echo(f"this machine is busy (load {load:.1f}): what is measured now says little", err=True)
    with broker(None) as cluster:
        measure(Bench(cluster, sent, model), able, plan, findings, served, parameters([])["max_batch"])
    found = results(chosen, findings)
    click.echo(markdown(found))
    click.echo(f"\n{verdicts(found['bars'])}\n")
    result.write(output, result.document("peers", _configuration(plan, load, chosen, findings, model, images), found))
    if findings.missing:
        raise AppError(f"not measured, or not to the end: {', '.join(findings.missing)}; the reasons are above")


def _configuration(
    plan: Plan, load: float, chosen: Sequence[System], findings: Findings, model: Path, images: Path
) -> dict[str, Any]:
    return {
        **vars(plan),
        "load_before": load,
        "rate_per_s": RATE_PER_S,
        "systems": [system.name for system in chosen],
        "drain_requests": findings.sizes,
        "model": model.name,
        "images": images.name,
    }


if __name__ == "__main__":
    cli.run(main, "bench.peers")
