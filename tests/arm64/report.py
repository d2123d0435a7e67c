"""The table in docs/raspberry-pi.md: each bar, what was found, and on what machine, versions and day."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from localkafka import KAFKA_VERSION
from tests.arm64 import suite
from tests.arm64.machine import PYTHON, Machine
from tests.paths import ROOT

DOCUMENT = ROOT / "docs" / "raspberry-pi.md"
BEGIN, END = "<!-- arm64: begin -->", "<!-- arm64: end -->"
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
    here = f"Python {platform.python_version()}, onnxruntime {version('onnxruntime')}"
    made = (
        f"By `make arm64` on {datetime.now(UTC):%Y-%m-%d}: QEMU {machine.qemu_version()} (user emulation), "
        f"Debian's Python {PYTHON} for arm64, {there}; compared with {platform.machine()}, {os.cpu_count()} shared "
        f"cores, {here}; Apache Kafka {KAFKA_VERSION} outside of the emulation."
    )
    left_out = [f"- `{test}`: {reason}" for test, reason in suite.LEFT_OUT.items()]
    return "\n".join([*head, *rows, "", made, "", "Left out of `tests/edge`:", "", *left_out])


def write(document: Path, text: str) -> None:
    """Put the text between the two marker comments of a document.

    Raises: ValueError when it has none.
    """
    head, begin, rest = document.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{document} has no {BEGIN} and {END}")
    document.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
