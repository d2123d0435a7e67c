"""The whole campaign, and its table in docs/reliability.md: `make faults`, or `python -m tests.faults.campaign`."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from bench.apps import unwind_on_sigterm
from edge.classifier import EXACTLY_ONCE
from edge.pubsub import CONFLUENT
from localkafka import KAFKA_VERSION
from tests.faults import report
from tests.faults.cluster import Cluster
from tests.faults.experiment import Plan, Result, run
from tests.faults.faults import FAULTS, Injections
from tests.faults.progress import Line
from tests.paths import ROOT

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- campaign: begin -->", "<!-- campaign: end -->"
VERSIONS = ("kafka-python", "confluent-kafka", "onnxruntime")
COLUMNS = (
    *("faults", "client", "delivery", "requests", "lost", "duplicated", "wrong", "out of order"),
    *("poison dead-lettered", "first new prediction", "longest silence", "verdict"),
)


@dataclass(frozen=True)
class Case:
    """A plan with what it must hold beside its delivery's promises."""

    plan: Plan
    duplicated_share: float = 1.0
    recovery_s: dict[str, float] = field(default_factory=dict)

    def failures(self, result: Result) -> list[str]:
        """What the run does not hold, one line each."""
        found = result.failures()
        if result.verdict.duplicated_share > self.duplicated_share:
            found.append(f"{result.verdict.duplicated_share:.2%} duplicated, more than {self.duplicated_share:.2%}")
        for name, bar_s in self.recovery_s.items():
            times = [r.seconds for r in result.recoveries if r.name == name and r.seconds is not None]
            if not times:
                found.append(f"no recovery from {name} was seen")
            elif max(times) > bar_s:
                found.append(f"the first new prediction after {name} took {max(times):.2f} s, more than {bar_s:g} s")
        return found


def faults(text: str) -> tuple[Injections, ...]:
    """As on the command line of `tests.faults`."""
    return tuple(Injections.parse(part) for part in text.split(","))


def many(text: str, requests: int = 6000, rate: float = 300.0, **settings: object) -> Case:
    """A case of two classifiers that share four partitions, with some poison."""
    shared = {"partitions": 4, "classifiers": 2, "keys": 16, **settings}
    return Case(Plan(requests, rate, faults(f"{text},poison:60"), **shared))  # type: ignore[arg-type]


def once(text: str, requests: int = 6000, rate: float = 300.0, **settings: object) -> Case:
    """The same, exactly once."""
    return many(text, requests, rate, delivery=EXACTLY_ONCE, **settings)


def confluent(*cases: Case) -> tuple[Case, ...]:
    """The same cases with the other client."""
    return tuple(replace(case, plan=replace(case.plan, client=CONFLUENT)) for case in cases)


KILLS = faults("kill-classifier:20,kill-broker:5")
CASES: Mapping[int, Sequence[Case]] = {
    1: (
        Case(Plan(50_000, 500, KILLS), duplicated_share=0.02),
        Case(Plan(20_000, 200, KILLS, EXACTLY_ONCE)),
        Case(Plan(8_000, 100, faults("kill-broker:1:60")), recovery_s={"kill-broker": 3.0}),
        Case(Plan(8_000, 100, faults("kill-broker:1:60"), EXACTLY_ONCE), recovery_s={"kill-broker": 3.0}),
        Case(Plan(3_000, 100, faults("kill-classifier:10")), recovery_s={"kill-classifier": 2.0}),
        Case(Plan(3_000, 100, faults("kill-classifier:10"), EXACTLY_ONCE), recovery_s={"kill-classifier": 2.0}),
        many("kill-classifier:2:8", named=False),
        many("stop-classifier:1:8", named=False),
        once("stop-classifier:1:15"),
        Case(Plan(3_000, 100, faults("zombie:4"))),
        Case(Plan(3_000, 100, faults("zombie:4"), EXACTLY_ONCE)),
        many("kill-unwritten:4:1"),
        once("kill-unwritten:4:1"),
        many("stop-broker:2:5"),
        once("stop-broker:1:15"),
        many("stop-broker:1:40", rate=100),
        many("full-disk:2"),
        many("cut:10"),
        once("cut:10"),
        many("stall:2:5,stall-writes:2:3"),
        once("stall:1:15"),
        many("stall:1:40", rate=100),
        many("slow:2:5"),
        once("slow:2:5"),
        many("join-and-leave:10", named=False),
        many("kill-classifier:2,cut:5,join-and-leave:5", 4500, 150, named=False, seed=2),
        many("kill-classifier:3,kill-broker:2,slow:2:3", seed=3),
        once("kill-classifier:3,kill-broker:2,slow:2:3", seed=3),
        many("stop-classifier:1:8,stop-broker:1:3,stall:1:3", named=False, seed=4),
        *confluent(
            Case(Plan(50_000, 500, KILLS), duplicated_share=0.02),
            Case(Plan(20_000, 200, KILLS, EXACTLY_ONCE)),
            Case(Plan(8_000, 100, faults("kill-broker:1:60")), recovery_s={"kill-broker": 3.0}),
            Case(Plan(3_000, 100, faults("kill-classifier:10")), recovery_s={"kill-classifier": 2.0}),
            many("stop-classifier:1:8", named=False),
            Case(Plan(3_000, 100, faults("zombie:4"), EXACTLY_ONCE)),
            once("kill-unwritten:4:1"),
            many("stop-broker:2:5"),
            many("cut:10"),
            many("stall:2:5,stall-writes:2:3"),
            once("stall:1:15"),
            many("join-and-leave:10", named=False),
            once("kill-classifier:3,kill-broker:2,slow:2:3", seed=3),
        ),
    ),
    3: (
        *(many("kill-leader:3:2"), once("kill-leader:3:2"), many("move-leader:3:2"), once("move-leader:3:2")),
        *confluent(many("kill-leader:3:2"), once("move-leader:3:2")),
    ),
}


@click.command()
@click.option("--only", multiple=True, metavar="FAULT", help="Only the cases with this fault; writes no document.")
def main(only: Sequence[str]) -> None:
    """Run all cases, and write the table of their verdicts into docs/reliability.md."""
    unwind_on_sigterm()
    rows: list[str] = []
    are_good = True
    for nodes, cases in CASES.items():
        chosen = [case for case in cases if not only or set(only) & {fault.name for fault in case.plan.faults}]
        if chosen:
            with Cluster(nodes) as cluster:
                for case in chosen:
                    is_good, row = judge(case, cluster, nodes)
                    rows.append(row)
                    are_good &= is_good
    if not only:
        write(DOCUMENT, table(rows))
    sys.exit(0 if are_good else 1)


def judge(case: Case, cluster: Cluster, nodes: int) -> tuple[bool, str]:
    """Run one case and print its verdict; returns whether it is good, and its row."""
    misfit = case.plan.misfit(nodes)
    if misfit is not None:
        click.echo(f"LEFT OUT: {case.plan}: {misfit}\n")
        return True, f"| left out: {misfit} |"
    result = run(case.plan, cluster, Line(case.plan))
    failures = case.failures(result)
    click.echo(report.text(result, failures) + "\n")
    return not failures, report.row(result, failures)


def table(rows: Sequence[str]) -> str:
    """Markdown: the rows, and on which machine they came about, when, and by which command."""
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    made = (
        f"By `make faults` on {datetime.now(UTC):%Y-%m-%d}: {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, which broker, sender and checker share with the classifiers; "
        f"Python {platform.python_version()}, {versions}, Apache Kafka {KAFKA_VERSION}, one node, or three "
        "where leaders are killed or moved."
    )
    meanings = [f"- {name}: {fault.meaning}" for name, fault in FAULTS.items()]
    return "\n".join([*head, *rows, "", made, "", "What the faults do:", "", *meanings])


def write(document: Path, text: str) -> None:
    """Put the text between the two marker comments of a document, at its end where it has none."""
    before = document.read_text() if document.exists() else "# Reliability\n\n"
    if BEGIN not in before:
        before += f"{BEGIN}\n{END}\n"
    head, _, rest = before.partition(BEGIN)
    document.parent.mkdir(exist_ok=True)
    document.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main(prog_name="python -m tests.faults.campaign")
