"""Reads predictions and prints them: `python -m edge.consumer`."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edge import cli, cluster_options, logs, tracing
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.errors import BadDataError
from edge.pubsub import PubSub
from edge.reading import Reading, Score, read, to_json, to_line

if TYPE_CHECKING:
    from edge.contract import Contract
    from edge.drawn import Drawer

log = logging.getLogger("edge.consumer")


@click.command(epilog="Example: python -m edge.consumer --limit 200 --json")
@cli.prediction_topic
@cli.group("edge.consumer")
@cli.json_output
@click.option("--images", is_flag=True, help="Draw each image beside its prediction; reads the request topic, too.")
@cli.request_topic
@cli.option(
    "CONTRACT",
    "--contract",
    type=click.Path(path_type=Path),
    help="The .onnx or contract.json of the model, which tells --images the shape of raw pixels.  [default: a square]",
)
@cli.option("STATS", "--stats", is_flag=True, help="Keep a line on stderr: rate, latency, classes, what is late.")
@cli.limit
@cli.partitions
@cluster_options.cluster
@cli.verbose
def main(
    prediction_topic: str,
    group: str,
    as_json: bool,
    images: bool,
    request_topic: str,
    contract: Path | None,
    stats: bool,
    limit: int | None,
    partitions: int,
    cluster: Cluster,
) -> None:
    """Print each prediction, and how often they were right where the true label is known."""
    _check(click.get_current_context())
    wanted = None if contract is None or not images else _read_contract(contract)
    stop = cli.stop_on_signals()
    score, count = Score(), 0
    with cluster.connect(stop) as pubsub, ExitStack() as opened:
        pubsub.create_topic(prediction_topic, partitions, right="READ")
        drawer = None
        if images:
            pubsub.create_topic(request_topic, partitions, REQUEST_TOPIC_CONFIG, "READ")
            drawer = opened.enter_context(_drawer(pubsub, request_topic, f"{group}.images", wanted, stop))
        show = drawer or (to_json if as_json else to_line)
        note, above = opened.enter_context(_stats(drawer)) if stats else (_ignore, nullcontext)
        for record in pubsub.subscribe(prediction_topic, group, limit):
            count += 1
            try:
                reading = read(record, score)
            except BadDataError as error:
                log.warning("%s", error, extra=logs.place(record))
                continue
            tracing.read(reading.prediction.id, record)
            note(reading)
            text = show(reading)
            with above():
                click.echo(text)
    parts = [f"{count} predictions read", str(score), f"{drawer.missing} without image" if drawer else ""]
    (logs.say if as_json else click.echo)(", ".join(filter(None, parts)))


def _check(context: click.Context) -> None:
    """Raises UsageError for options that contradict one another; the environment may hold what other apps read."""
    given = context.params
    if given["images"] and given["as_json"]:
        raise click.UsageError("--images draws for people and --json writes for programs: leave one of them out")
    for name in ("contract", "request_topic"):
        if not given["images"] and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --images: without it, no request is read")


def _ignore(_: Reading) -> None:
    """Nobody wants to know."""


def _read_contract(path: Path) -> "Contract":
    from edge.pictures import read_contract  # noqa: PLC0415 - most have no use for it

    return read_contract(path)


@contextmanager
def _drawer(
    pubsub: PubSub, topic: str, group: str, contract: "Contract | None", stop: threading.Event
) -> Iterator["Drawer"]:
    from edge.drawn import Drawer  # noqa: PLC0415 - only for whoever asks for it
    from edge.requested import Requests  # noqa: PLC0415

    with Requests(pubsub.client, topic, group, stop) as requests:
        yield Drawer(requests, contract)


@contextmanager
def _stats(
    drawer: "Drawer | None",
) -> Iterator[tuple[Callable[[Reading], None], Callable[[], AbstractContextManager[None]]]]:
    """What takes note of each prediction, and what is around the writing of each; says it all once more at the end."""
    from edge.stats import Stats  # noqa: PLC0415 - only for whoever asks for it
    from edge.statusline import StatusLine  # noqa: PLC0415

    stats = Stats(dict if drawer is None else drawer.counts)
    with StatusLine(stats.line) as line:
        yield stats.add, line.above if sys.stdout.isatty() else nullcontext
    logs.say(stats.line())


if __name__ == "__main__":
    cli.run(main, "edge.consumer")
