"""The tables in docs/raspberry-pi.md: each bar, what was found, and on what machine, versions and day."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from localkafka import KAFKA_VERSION
from tests.arm64.machine import PYTHON, Machine
from tests.paths import ROOT

DOCUMENT = ROOT / "docs" / "raspberry-pi.md"
COLUMNS = ("what", "processor", "found", "bar", "verdict")
PACKAGES = ("numpy", "onnxruntime", "kafka-python", "confluent-kafka")


@dataclass(frozen=True)
class Finding:
    """One row: what was looked at, on which processor, what came of it and what had to."""

    what: str
    processor: str
    found: str
    bar: str
    is_good: bool
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{'ok' if self.is_good else 'FAILED'}: {self.what} on {self.processor}: {self.found} (bar: {self.bar})"


def table(findings: Sequence[Finding], machine: Machine) -> str:
    """Markdown: the rows, and where they come from."""
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    rows = [
        f"| {one.what} | {one.processor} | {one.found} | {one.bar} | {'ok' if one.is_good else 'failed'} |"
        for one in findings
    ]
    there = ", ".join(f"{name} {machine.version(name)}" for name in PACKAGES)
    made = (
        f"By `make arm64` on {datetime.now(UTC):%Y-%m-%d}: QEMU {machine.qemu_version()}, Debian's Python {PYTHON} for "
        f"arm64, {there}; compared with {platform.machine()}, Python {platform.python_version()}, onnxruntime "
        f"{version('onnxruntime')}; Apache Kafka {KAFKA_VERSION} outside of the emulation; {os.cpu_count()} cores."
    )
    notes = [f"- {note}" for one in findings for note in one.notes]
    return "\n".join([*head, *rows, "", *notes, *([""] if notes else []), made])


def write(document: Path, part: str, text: str) -> None:
    """Put the text between the two marker comments of a part in a document.

    Raises: ValueError when it has none.
    """
    begin, end = f"<!-- arm64 {part}: begin -->", f"<!-- arm64 {part}: end -->"
    head, found, rest = document.read_text().partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{document} has no {begin} and {end}")
    document.write_text(f"{head}{begin}\n{text}\n{end}{tail}")
