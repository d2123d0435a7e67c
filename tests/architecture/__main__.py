"""Draws what imports what in this repository: `python -m tests.architecture`."""

from pathlib import Path

import click

from tests.architecture.figure import write

FIGURE = Path("docs/figures/architecture.svg")


@click.command()
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), default=FIGURE, show_default=True)
def main(output: Path) -> None:
    """Draw the packages, and edge's modules in groups, in layers; nothing of what is drawn is run."""
    write(output)
    click.echo(f"wrote {output}")


if __name__ == "__main__":
    main()
