"""Everything that `make test` is too short for, part by part, and its table in docs/testing.md: `make test-all`."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench import result
from edge import cli
from tests.docs.checkout import clone
from tests.paths import ROOT

DOCUMENT = ROOT / "docs" / "testing.md"
BEGIN, END = "<!-- test-all: begin -->", "<!-- test-all: end -->"
HEAD = "| part | what it runs | verdict | minutes | commit | date |\n|---|---|---|---:|---|---|"
PARTS: Mapping[str, str] = {
    "test": "make test",
    "docs": "make test-docs",
    "bundle": "make test-bundle",
    "spool": "python -m tests.faults.spool",
    "swap": "python -m bench.swap",
    "faults": "make faults",
    "arm64": "make arm64",
    "viewer": "make test-viewer",
    "notebook": "make test-notebook",
    "examples": "make test-examples",
}
IN_A_CHECKOUT = ("test",)
"""What is run in a fresh checkout, as a newcomer runs it; the others run here."""


@dataclass(frozen=True)
class Row:
    """What became of one part."""

    name: str
    command: str
    code: int
    minutes: float
    commit: str
    date: str

    def __str__(self) -> str:
        verdict = "passed" if self.code == 0 else f"**failed** ({self.code})"
        return f"| {self.name} | `{self.command}` | {verdict} | {self.minutes:.1f} | {self.commit} | {self.date} |"


def run(name: str, command: str) -> int:
    """Run a part to its end, in the open; its exit code."""
    words = [sys.executable if word == "python" else word for word in command.split()]
    if name not in IN_A_CHECKOUT:
        return subprocess.run(words, cwd=ROOT, check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(words, cwd=clone(Path(folder) / "onnx-kafka-edge"), check=False).returncode


def run_all(parts: Mapping[str, str], document: Path, run: Callable[[str, str], int] = run) -> list[Row]:
    """Run parts one after another, whatever becomes of them; after each, the document holds it."""
    about, rows = result.document("all", {}, {}), []
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    machine = f"The last ran on {about['machine']['system']}, {about['machine']['cores']} cores: {versions}."
    for number, (name, command) in enumerate(parts.items(), 1):
        click.echo(f"=== {name} ({number} of {len(parts)}): {command}")
        started = time.monotonic()
        code = run(name, command)
        minutes = (time.monotonic() - started) / 60
        rows.append(Row(name, command, code, minutes, str(about["commit"]), about["date"][:10]))
        document.write_text(updated(document.read_text(), rows, machine))
    return rows


def updated(text: str, rows: Iterable[Row], machine: str) -> str:
    """A document with these rows in its table, in place of their last ones."""
    head, _, rest = text.partition(BEGIN)
    table, _, tail = rest.partition(END)
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    lines.pop("part", None)
    lines |= {row.name: str(row) for row in rows}
    ordered = [lines[name] for name in dict.fromkeys([*PARTS, *lines]) if name in lines]
    return f"{head}{BEGIN}\n" + "\n".join([HEAD, *ordered, "", machine]) + f"\n{END}{tail}"


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="This part; may be given more than once.")
def main(only: Sequence[str]) -> None:
    """Run all parts, and write what became of each into docs/testing.md.

    Exits with 1 when one failed.
    """
    rows = run_all({name: PARTS[name] for name in only or PARTS}, DOCUMENT)
    for row in rows:
        click.echo(str(row))
    sys.exit(any(row.code for row in rows))


if __name__ == "__main__":
    cli.run(main, "tests.all")
