"""The tests of `edge` in the emulated Python: which of them, and how they went."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import click

from localkafka import LocalKafka
from tests.arm64.fixtures import DIRECTORY, SERVERS
from tests.arm64.processes import AT_A_TIME, started
from tests.paths import ROOT

TIMEOUT_S = 2400
LEFT_OUT: Mapping[str, str] = {
    "tests/edge/test_imports.py": "it starts an interpreter for each module, and asks nothing of the processor",
    "tests/edge/test_decoders.py::test_large_json": "its 2 s of CPU are for a processor, not for its emulation",
    "tests/edge/test_probe.py": "so are its limits of 0.2 s",
    "tests/edge/test_clients.py::test_two_members_share": "its turns of 0.1 s are too short for a rebalance",
    "tests/edge/test_clients.py::test_who_owns_nothing": "so are the turns of this one",
    "tests/edge/test_consumer.py::test_stats_are_said": "its 5 s of latency must not become 5.1",
    "tests/edge/test_metrics.py::test_what_a_loop_did": "QEMU shows no resident memory in /proc/self/stat",
}
"""Beginnings of the tests' names → why they say nothing under emulation."""


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
    reports = [folder / f"tests-{number}.xml" for number in range(AT_A_TIME)]
    commands = [_command(python, report, files) for report, files in zip(reports, _shares(), strict=True)]
    for report in reports:
        report.unlink(missing_ok=True)
    with started(commands, variables, [_log(report) for report in reports]) as running:
        outcomes = [_outcome(process, report) for process, report in zip(running, reports, strict=True)]
    return Outcome(
        sum(outcome.passed for outcome in outcomes),
        sum(outcome.skipped for outcome in outcomes),
        tuple(name for outcome in outcomes for name in outcome.failed),
    )


def _shares() -> list[list[str]]:
    """The files of tests, dealt out in turn, the longest first."""
    files = sorted((ROOT / "tests" / "edge").glob("test_*.py"), key=lambda file: -file.stat().st_size)
    return [[str(file.relative_to(ROOT)) for file in files[first::AT_A_TIME]] for first in range(AT_A_TIME)]


def _command(python: Path, report: Path, files: Sequence[str]) -> list[str]:
    return [
        *(str(python), "-m", "pytest", "--noconftest", "-p", "tests.arm64.fixtures", "-p", "no:cacheprovider"),
        *(f"--junitxml={report}", *(f"--deselect={test}" for test in LEFT_OUT), *files),
    ]


def _log(report: Path) -> Path:
    return report.with_suffix(".log")


def _outcome(process: subprocess.Popen[bytes], report: Path) -> Outcome:
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    outcome = _read(report) if report.exists() else Outcome(0, 0, ())
    if process.returncode != (1 if outcome.failed else 0):
        outcome = replace(outcome, failed=(*outcome.failed, f"pytest itself, with exit code {process.returncode}"))
    if outcome.failed:
        click.echo(_log(report).read_text(errors="replace"), err=True)
    return outcome


def _read(report: Path) -> Outcome:
    """What pytest's own report says, which is not hostile."""
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = tuple(f"{case.get('classname')}::{case.get('name')}" for case in failed)
    return Outcome(len(cases) - len(failed) - skipped, skipped, names)
