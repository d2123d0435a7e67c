"""How cost grows with rate, batch, partitions and payload: `python -m bench.scaling --over …`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bench import result
from bench.apps import broker_process, unwind_on_sigterm
from bench.group import Bench, loaded
from bench.options import Setup, of_classifiers, rounds_option, timeout_option
from bench.scaling.curves import AXES, MEASURES, Point, Setting, measure, points, warm_up
from bench.scaling.table import Row, grid, summary
from edge import cli


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> list[int] | None:
    """A callback that accepts `1,10,100`."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{text!r} is no list of positive integers such as 1,10,100")
    return sorted({int(part) for part in parts})


@click.command(epilog="Example: python -m bench.scaling --over batch --values 1,8,64")
@click.option("--over", type=click.Choice(list(AXES)), required=True, help="What is varied.")
@click.option(
    "--values",
    metavar="N,…",
    callback=_numbers,
    help="Its values: requests/s, images in a batch, partitions, or pixels along the side of an image.  "
    "[default: " + "; ".join(f"{name}: {','.join(map(str, axis.values))}" for name, axis in AXES.items()) + "]",
)
@rounds_option
@click.option(
    "--requests", type=click.IntRange(min=1000), default=20_000, show_default=True, help="Requests of each drain."
)
@click.option(
    "--duration", type=cli.Finite(min=1), default=15.0, show_default=True, help="Seconds measured at each rate."
)
@timeout_option
@of_classifiers("scaling.json")
def main(
    over: str,
    values: list[int] | None,
    rounds: int,
    requests: int,
    duration: float,
    timeout: float,
    setup: Setup,
) -> None:
    """Vary one thing, and measure what one classifier answers, and what it costs.

    The payload is varied twice: the same image in each content type, and larger images for a model that only finds
    the strongest colour. Options after -- go to the classifier.
    """
    chosen = values or AXES[over].values
    if max(chosen) > AXES[over].most:
        raise click.UsageError(f"--values of --over {over} go up to {AXES[over].most:,}, not {max(chosen):,}")
    unwind_on_sigterm()
    model, images = loaded(setup)
    configuration = {
        "over": over,
        "values": chosen,
        "rounds": rounds,
        **({"duration_s": duration} if over == "rate" else {"requests": requests}),
        **setup.configuration,
    }
    with tempfile.TemporaryDirectory() as folder, broker_process(setup.cluster) as (measured, kafka):
        bench, path = Bench(measured, kafka, timeout), setup.model.resolve()
        setting = Setting(bench, path, model, images, setup.extra, setup.delivery, requests, duration)
        click.echo("warming the broker up …", err=True)
        warm_up(setting)
        runs = _rounds(setting, points(setting, over, chosen, Path(folder)), rounds)
    results = summary(over, runs)
    click.echo(grid(results).text())
    result.write(setup.output, result.document("scaling", configuration, results))


def _rounds(setting: Setting, found: Sequence[Point], rounds: int) -> list[Row]:
    runs = []
    for number in range(rounds):
        # There and back again: what drifts does not look like growth.
        for point in found if number % 2 == 0 else reversed(found):
            row = measure(setting, point)
            click.echo(f"round {number + 1} of {rounds}: {point.name}: {_told(row)}", err=True)
            runs.append({"round": number, "series": point.series, **point.place, **row})
    return runs


def _told(row: Row) -> str:
    return ", ".join(f"{row[key]:,.4g} {title}" for key, title in MEASURES.items() if row.get(key) is not None)


if __name__ == "__main__":
    cli.run(main, "bench.scaling")
