"""The tests of `edge` in the emulated Python: which of them, and how they went."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import click

from localkafka import LocalKafka
from tests.arm64.fixtures import DIRECTORY, SERVERS
from tests.paths import ROOT

PROCESSES = 2
TIMEOUT_S = 840
LEFT_OUT: Mapping[str, str] = {
    "tests/edge/test_clients.py::"
    "test_two_members_share_the_partitions_and_one_that_leaves_hands_its_own_over": "its turns of 0.1 s are too short",
}
"""Test → why it says nothing under emulation."""


@dataclass(frozen=True)
class Outcome:
    """How many tests passed and were skipped, and the names of those that failed."""

    passed: int
    skipped: int
    failed: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether all passed, and there were any."""
        return self.passed > 0 and not self.failed


def run_tests(python: Path, environment: Mapping[str, str], broker: LocalKafka, folder: Path) -> Outcome:
    """Run tests/edge in a few processes; what they print goes into `folder`, and is shown where a test failed."""
    variables = {**environment, SERVERS: broker.bootstrap_servers, DIRECTORY: str(broker.directory)}
    folder.mkdir(parents=True, exist_ok=True)
    reports = [folder / f"tests-{number}.xml" for number in range(PROCESSES)]
    running = [_start(python, variables, report, files) for report, files in zip(reports, _shares(), strict=True)]
    outcomes = [_outcome(process, report) for process, report in zip(running, reports, strict=True)]
    return Outcome(
        sum(outcome.passed for outcome in outcomes),
        sum(outcome.skipped for outcome in outcomes),
        tuple(name for outcome in outcomes for name in outcome.failed),
    )


def _shares() -> list[list[str]]:
    """The files of tests, dealt out in turn, the longest first."""
    files = sorted((ROOT / "tests" / "edge").glob("test_*.py"), key=lambda file: -file.stat().st_size)
    return [[str(file.relative_to(ROOT)) for file in files[first::PROCESSES]] for first in range(PROCESSES)]


def _start(python: Path, variables: Mapping[str, str], report: Path, files: Sequence[str]) -> subprocess.Popen[bytes]:
    report.unlink(missing_ok=True)
    command = [
        *(str(python), "-m", "pytest", "--noconftest", "-p", "tests.arm64.fixtures", "-p", "no:cacheprovider"),
        *(f"--junitxml={report}", *(f"--deselect={test}" for test in LEFT_OUT), *files),
    ]
    with report.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT)


def _outcome(process: subprocess.Popen[bytes], report: Path) -> Outcome:
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    outcome = _read(report) if report.exists() else Outcome(0, 0, (f"pytest, which ended with {process.returncode}",))
    if outcome.failed:
        click.echo(report.with_suffix(".log").read_text(errors="replace"), err=True)
    return outcome


def _read(report: Path) -> Outcome:
    """What pytest's own report says, which is not hostile."""
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = tuple(f"{case.get('classname')}::{case.get('name')}" for case in failed)
    return Outcome(len(cases) - len(failed) - skipped, skipped, names)
