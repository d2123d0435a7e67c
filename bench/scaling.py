"""How cost grows with rate, batch, partitions and payload: `python -m bench.scaling --over …`."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench import result
from bench.apps import broker_process, unwind_on_sigterm
from bench.curves import AXES, COUNTED, MEASURES, Point, Setting, measure, points, warm_up
from bench.grid import Grid
from bench.group import REBALANCE, Bench, check_size, loaded_model
from bench.latency import MODEL
from bench.spread import shown, spreads
from edge import cli
from edge.classifier import delivery_option
from edge.cluster import Cluster
from edge.images import load_images
from edge.query import SAMPLES

Row = dict[str, Any]


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
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="How often all is measured.")
@click.option(
    "--requests", type=click.IntRange(min=1000), default=20_000, show_default=True, help="Requests of each drain."
)
@click.option(
    "--duration", type=cli.Finite(min=1), default=15.0, show_default=True, help="Seconds measured at each rate."
)
@click.option(
    "--timeout", type=cli.Finite(min=1), default=300.0, show_default=True, help="Seconds that one drain may take."
)
@cli.option("MODEL", "--model", type=click.Path(path_type=Path), default=MODEL, help="The .onnx file to serve.")
@click.option(
    "--images", type=click.Path(path_type=Path), default=SAMPLES, show_default=True, help="The images to send."
)
@result.output_option("scaling.json")
@delivery_option
@cli.cluster_or_own
@cli.verbose
@click.argument("options", nargs=-1, metavar="[-- CLASSIFIER OPTIONS]")
def main(
    over: str,
    values: list[int] | None,
    rounds: int,
    requests: int,
    duration: float,
    timeout: float,
    model: Path,
    images: Path,
    output: Path,
    delivery: str,
    cluster: Cluster | None,
    options: Sequence[str],
) -> None:
    """Vary one thing, and measure what one classifier answers, and what it costs.

    The payload is varied twice: the same image in each content type, and larger images for a model that only finds
    the strongest colour. Options after -- go to the classifier.
    """
    unwind_on_sigterm()
    served, loaded = loaded_model(model, options), load_images(images)
    check_size(loaded.image[0].nbytes, served)
    chosen = values or AXES[over].values
    configuration = {
        "over": over,
        "values": chosen,
        "rounds": rounds,
        **({"duration_s": duration} if over == "rate" else {"requests": requests}),
        "model": model.name,
        "delivery": delivery,
        "options": list(options),
        "own_broker": cluster is None,
        "client": cli.chosen_client() if cluster is None else cluster.client,
    }
    with tempfile.TemporaryDirectory() as folder, broker_process(cluster, REBALANCE) as (measured, kafka):
        setting = Setting(
            Bench(measured, kafka, timeout), model.resolve(), served, loaded, options, delivery, requests, duration
        )
        click.echo("warming the broker up …", err=True)
        warm_up(setting)
        runs = _rounds(setting, points(setting, over, chosen, Path(folder)), rounds)
    results = summary(over, runs)
    click.echo(grid(results).text())
    result.write(output, result.document("scaling", configuration, results))


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


def summary(over: str, runs: Sequence[Row]) -> dict[str, Any]:
    """The spread of each measure at each point; lost and duplicated are counted over all rounds."""
    axis = AXES[over]
    rows = []
    for place in dict.fromkeys((row["series"], row[axis.key]) for row in runs):
        same = [row for row in runs if (row["series"], row[axis.key]) == place]
        counted = {key: sum(row[key] for row in same) for key in COUNTED}
        rows.append({axis.key: place[1], "series": place[0], **spreads(same, MEASURES), **counted})
    return {
        "over": over,
        "axis": axis.key,
        "title": axis.title,
        "measures": dict(MEASURES),
        "rows": sorted(rows, key=lambda row: (row["series"], row[axis.key])),
        "runs": list(runs),
    }


def grid(results: Mapping[str, Any]) -> Grid:
    """The result for people."""
    rows = results["rows"]
    measures = {key: title for key, title in results["measures"].items() if any(key in row for row in rows)}
    has_series = any(row["series"] for row in rows)
    head = [results["title"], *measures.values(), "lost", "twice", *(["of"] if has_series else [])]
    return Grid(head, [_line(row, results["axis"], measures, has_series) for row in rows], words=int(has_series))


def _line(row: Row, axis: str, measures: Iterable[str], has_series: bool) -> list[str]:
    cells = [shown(row.get(key), _digits(row.get(key))) for key in measures]
    ends = [*(str(row[key]) for key in COUNTED), *([row["series"]] if has_series else [])]
    return [f"{row[axis]:,}", *cells, *ends]


def _digits(found: Mapping[str, float] | None) -> int:
    return 0 if found is None or found["median"] >= 1000 else 1 if found["median"] >= 10 else 4


if __name__ == "__main__":
    cli.run(main, "bench.scaling")
