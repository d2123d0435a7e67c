"""The edge on a Raspberry Pi's processors, emulated, over a real Kafka: `make arm64`, or `python -m tests.arm64`."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from bench.apps import unwind_on_sigterm
from edge import cli
from edge.images import load_images
from localkafka import LocalKafka
from tests.arm64 import agreement, report, serving, suite
from tests.arm64.machine import BUILD, PI_3, PI_4, PI_5, Machine, environment, machine
from tests.arm64.report import Finding

REQUESTS = 1000
MAX_RSS_MB = 128
AT_A_TIME = 2
MODELS = ("smallcnn", "lenet")
COUNTS, FEW = {PI_4: 10_000}, 1000
"""How many images each processor is asked: the emulated ones take 3 to 20 ms for one."""
BROKER = {"message.max.bytes": "16000000", "replica.fetch.max.bytes": "16000000"}


def edge_tests(emulated: Machine) -> Iterator[Finding]:
    """The tests of `edge`, those over a real broker included."""
    with LocalKafka(properties=BROKER) as broker:
        outcome = suite.run_tests(emulated.python(PI_4), environment(), broker, BUILD / "tests")
    found = f"{outcome.passed} passed, {outcome.skipped} skipped, {len(outcome.failed)} failed"
    yield Finding("tests/edge", PI_4.name, ", ".join([found, *outcome.failed]), "all pass", outcome.is_good)


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


def answers(emulated: Machine) -> Iterator[Finding]:
    """What the shipped models answer to test images, beside what they answer here; two at a time."""
    asked = [(processor, name, COUNTS.get(processor, FEW)) for name in MODELS for processor in (PI_4, PI_3, PI_5)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = [pool.submit(agreement.measure, emulated, *each) for each in asked]
        for (processor, name, _), future in zip(asked, running, strict=True):
            found = future.result()
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
    "answers": answers,
    "tests": edge_tests,
}


@click.command()
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Only these parts; writes no document.")
def main(only: Sequence[str]) -> int:
    """Run all parts, print what they found, and write it into docs/raspberry-pi.md; fails when a bar is missed."""
    unwind_on_sigterm()
    emulated = machine()
    findings: list[Finding] = []
    for name in only or PARTS:
        for finding in PARTS[name](emulated):
            click.echo(finding)
            findings.append(finding)
    if not only:
        report.write(report.DOCUMENT, report.table(findings, emulated))
    failed = sum(not finding.is_good for finding in findings)
    click.echo(f"arm64: {len(findings) - failed} bars met, {failed} missed")
    return 1 if failed else 0


if __name__ == "__main__":
    cli.run(main, "tests.arm64")
