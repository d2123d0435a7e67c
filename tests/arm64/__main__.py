"""The edge on a Raspberry Pi's processors, emulated, over a real Kafka: `make arm64`, or `python -m tests.arm64`."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from bench.apps import unwind_on_sigterm
from edge import cli
from edge.images import load_images
from localkafka import LocalKafka
from tests.arm64 import agreement, report, serving, suite
from tests.arm64.machine import BUILD, PI_4, PROCESSORS, Machine, environment, machine
from tests.arm64.report import Finding

REQUESTS = 1000
MAX_RSS_MB = 128
COUNT, FEW = 10_000, 200
"""How many images a Pi 4 is asked, and the others: of smallcnn, an image takes 0.1 to 0.2 s of a core."""
BROKER = {"message.max.bytes": "16000000", "replica.fetch.max.bytes": "16000000"}


def edge_tests(emulated: Machine) -> Iterator[Finding]:
    """The tests of `edge`, those over a real broker included."""
    with LocalKafka(properties=BROKER) as broker:
        outcome = suite.run_tests(emulated.python(PI_4), environment(), broker, BUILD / "tests")
    found = f"{outcome.passed} passed, {outcome.skipped} skipped, {len(outcome.failed)} failed"
    notes = tuple(f"left out, {test}: {reason}" for test, reason in suite.LEFT_OUT.items())
    found = ", ".join([found, *outcome.failed])
    yield Finding("tests/edge", PI_4.name, found, "all but those left out pass", outcome.is_good, notes)


def classifier(emulated: Machine) -> Iterator[Finding]:
    """A classifier that answers requests, and the memory that it takes, here as well."""
    images = load_images(emulated.images)
    with LocalKafka() as broker:
        there = serving.serve(emulated.python(PI_4), environment(), broker, images, REQUESTS)
        here = serving.serve(Path(sys.executable), os.environ, broker, images, REQUESTS)
    found = (
        f"{there.asked} requests, {there.lost} lost, {there.duplicated} duplicated, {there.wrong} of another class, "
        f"{there.dead_letters} dead letters, exit code {there.exit_code}"
    )
    yield Finding("`edge.classifier`, kafka-python", PI_4.name, found, "each answered once", there.is_good)
    guest_mb, with_qemu_mb, here_mb = (
        f"{size / 1e6:.0f} MB" for size in (there.guest_rss_bytes, there.peak_rss_bytes, here.peak_rss_bytes)
    )
    found = f"{guest_mb}, and {with_qemu_mb} with QEMU and its translation; on this machine {here_mb}"
    is_good = 0 < there.guest_rss_bytes < MAX_RSS_MB * 1e6
    yield Finding("its peak RSS", PI_4.name, found, f"below {MAX_RSS_MB} MB without QEMU", is_good)


def answers(name: str, emulated: Machine) -> Iterator[Finding]:
    """What a shipped model answers to test images, beside what it answers here."""
    for processor in PROCESSORS:
        found = agreement.measure(emulated, processor, name, COUNT if processor == PI_4 else FEW)
        yield Finding(
            f"{name}, {found.images:,} test images",
            processor.name,
            f"{found.images - found.differing:,} of the same class, {found.ties} ties; "
            f"probabilities differ by at most {found.largest_difference:.1e}",
            f"all of the same class, but for ties within {agreement.TIE:g}",
            found.is_full,
        )


PARTS: Mapping[str, Callable[[Machine], Iterator[Finding]]] = {
    "classifier": classifier,
    "lenet": partial(answers, "lenet"),
    "smallcnn": partial(answers, "smallcnn"),
    "tests": edge_tests,
}


@click.command()
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Only these parts, and their tables.")
def main(only: Sequence[str]) -> int:
    """Run all parts, and write what they found into docs/raspberry-pi.md; fails when a bar is missed."""
    unwind_on_sigterm()
    emulated = machine()
    are_good: list[bool] = []
    for name in only or PARTS:
        findings = []
        for finding in PARTS[name](emulated):
            click.echo(finding)
            findings.append(finding)
        report.write(report.DOCUMENT, name, report.table(findings, emulated))
        are_good += [finding.is_good for finding in findings]
    click.echo(f"arm64: {sum(are_good)} bars met, {len(are_good) - sum(are_good)} missed")
    return 0 if all(are_good) else 1


if __name__ == "__main__":
    cli.run(main, "tests.arm64")
