"""One page of what the benchmarks have measured, and what changed since: `python -m bench.report`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench import result
from bench.report.compare import Comparison, compare, is_same_kind, text
from bench.report.figures import drawings
from bench.report.markdown import written
from bench.report.page import page
from bench.report.plots import png
from edge import cli
from edge.errors import BadDataError

_FILE = click.Path(path_type=Path)


@click.command(epilog="Example: python -m bench.report latency.json throughput.json -o report.html --png docs/figures")
@click.argument("results", nargs=-1, required=True, type=_FILE, metavar="RESULT.json…")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    callback=result.check_folder,
    help="Where the page goes.",
)
@click.option(
    "--png", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write the drawings to this folder, too."
)
@click.option(
    "--compare", "olds", type=_FILE, multiple=True, metavar="OLD.json", help="Show what changed since this result."
)
@click.option(
    "--markdown",
    "document",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="DOCUMENT.md",
    help="Write each result's table into this document, between <!-- bench:NAME --> and <!-- /bench -->; NAME is that "
    "of its file.",
)
@cli.verbose
def main(
    results: Sequence[Path], output: Path, folder: Path | None, olds: Sequence[Path], document: Path | None
) -> None:
    """Make one self-contained HTML page of results, with drawings; it needs no network and no other file.

    With --compare, the result of the same benchmark is held against an older one, on stdout, too.
    """
    if (folder or document) and len({path.stem for path in results}) < len(results):
        raise click.UsageError("two results have files of one name, by which drawings and tables are told apart")
    new = [(path.name, read(path)) for path in results]
    comparisons = [_against(read(old), old, [found for _, found in new]) for old in olds]
    for found in comparisons:
        click.echo(text(found) + "\n")
    output.write_text(page(new, comparisons), encoding="utf-8")
    click.echo(f"HTML: {output}")
    if folder is not None:
        _draw(new, folder)
    if document is not None:
        _write(new, document)


def read(path: Path) -> dict[str, Any]:
    """A result with its parts in place.

    Raises: BadDataError when the file is none.
    """
    found = result.read(path)
    for part, kind in (("benchmark", str), ("results", dict), ("configuration", dict)):
        if not isinstance(found.get(part), kind):
            raise BadDataError(f"{path} is no result of this bench: its {part!r} is missing or of another kind")
    return found


def _against(old: Mapping[str, Any], path: Path, new: Sequence[Mapping[str, Any]]) -> Comparison:
    comparisons = [compare(old, found) for found in new if is_same_kind(old, found)]
    if comparisons:
        # Of two clients, say, the one that the old one was of.
        return min(comparisons, key=lambda each: sum(key.startswith("configuration.") for key, *_ in each.differences))
    raise BadDataError(f"none of the results is one of {old['benchmark']} as {path} is: name one to compare it with")


def _draw(results: Sequence[tuple[str, Mapping[str, Any]]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, found in results:
        for name, drawing in drawings(found).items():
            # Two results of one benchmark are told apart by their files.
            path = folder / f"{Path(file).stem}-{name.partition('-')[2]}.png"
            png(drawing, path)
            click.echo(f"PNG: {path}")


def _write(results: Sequence[tuple[str, Mapping[str, Any]]], document: Path) -> None:
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise BadDataError(f"the document {document} cannot be read ({error.strerror})") from None
    for file, found in results:
        text = written(text, Path(file).stem, found)
    document.write_text(text, encoding="utf-8")
    click.echo(f"Markdown: {document}")


if __name__ == "__main__":
    cli.run(main, "bench.report")
