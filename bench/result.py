"""What every benchmark writes: its numbers, and on what machine, versions, commit and configuration they were taken."""

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import psutil

from bench.spread import is_spread
from edge.errors import BadDataError
from localkafka import KAFKA_VERSION

SCHEMA = 1
PACKAGES = ("kafka-python", "confluent-kafka", "onnxruntime", "numpy")
_ROOT = Path(__file__).parent.parent


def output_option(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--output FILE.json`, whose folder must be there before the measuring begins."""
    return click.option(
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path(default),
        show_default=True,
        callback=check_folder,
        help="Where the result goes as JSON.",
    )


def document(benchmark: str, configuration: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """One benchmark's results with all that is needed to judge and to repeat them."""
    return {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": shlex.join(["python", "-m", f"bench.{benchmark}", *sys.argv[1:]]),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
        },
        "versions": {
            "python": platform.python_version(),
            "kafka": KAFKA_VERSION,
            **{name: version(name) for name in PACKAGES},
        },
        "configuration": dict(configuration),
        "results": dict(results),
    }


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write a document, and say where it is.

    Raises: BadDataError when it cannot be written; it is then on stdout.
    """
    text = json.dumps(result, indent=2, allow_nan=False)
    try:
        path.write_text(text + "\n")
    except OSError as error:
        click.echo(text)
        raise BadDataError(f"{path} cannot be written ({error.strerror}): the result is above, as JSON") from None
    click.echo(f"JSON: {path}")


def read(path: Path) -> dict[str, Any]:
    """A document that `write` has written.

    Raises: BadDataError when the file is none.
    """
    try:
        result = json.loads(path.read_bytes())
    except OSError as error:
        raise BadDataError(f"the result {path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise BadDataError(f"the result {path} is no JSON ({error})") from None
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise BadDataError(f"{path} is no result of this bench: its schema is not {SCHEMA}")
    return result


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value in a result by its path; a spread is one value, and an item of a list goes by what it is about."""
    if isinstance(value, Mapping) and not is_spread(value):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif is_table(value):
        for item, name in zip(value, _names(value), strict=True):
            yield from leaves(item, f"{path}[{name}]")
    else:
        yield path, value


def is_table(value: Any) -> bool:
    """Whether a value is a list of objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def check_folder(_: click.Context, __: click.Parameter, path: Path) -> Path:
    """A callback that accepts a file whose folder is there, and to which it can be written."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder {folder}")
    try:
        with path.open("ab") if path.exists() else tempfile.TemporaryFile(dir=folder):
            return path
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written ({error.strerror})") from None


def _commit() -> str | None:
    """The commit of this tree, with a mark when it was changed since; None outside of git."""
    # What results are written into is no change of what is measured.
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs", ":!README.md")
    commit = _git("rev-parse", "--short=12", "HEAD")
    return None if commit is None else commit + ("-dirty" if changes else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, check=True, text=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _names(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells the items of a list apart: the fewest of their first texts and integers, else their numbers."""
    keys = [key for key, value in items[0].items() if isinstance(value, str | int) and not isinstance(value, bool)]
    for count in range(1, len(keys) + 1):
        names = [",".join(str(item.get(key)) for key in keys[:count]) for item in items]
        if len(set(names)) == len(items):
            return names
    return [str(index) for index in range(len(items))]
