"""Shows on a web page what is asked and answered, as it happens: `python -m viewer`."""

import re
import secrets
import socket
from contextlib import closing
from pathlib import Path

import click

from edge import cli, cluster_options
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.pictures import read_contract
from viewer.app import Pages
from viewer.board import Board
from viewer.feed import Choice, Feed, Topics
from viewer.guard import Guard
from viewer.sender import Sender
from viewer.server import Server, is_loopback, listen
from viewer.tail import ends_of
from viewer.target import told

MODEL = Path("samples/lenet.onnx")
HOST, PORT = "127.0.0.1", 8765
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what may be asked for, by name


def check_token(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback that accepts what goes unchanged into a URL and a cookie, and is not soon guessed."""
    if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{16,200}", value):
        raise click.BadParameter("it must have 16 or more letters, digits, '-' or '_'")
    return value


@click.command(epilog="Example: python -m viewer --port 8080 --per-second 10")
@cli.option(
    "MODEL", "--model", type=click.Path(path_type=Path), default=MODEL, help="The .onnx file: its shape and classes."
)
@cli.option(
    "CONTRACT",
    "--contract",
    type=click.Path(path_type=Path),
    help="A contract.json for a model that carries none.",
)
@cli.option("VIEWER_HOST", "--host", default=HOST, callback=cli.check_name, help="Address to serve the page on.")
@cli.option("VIEWER_PORT", "--port", type=click.IntRange(0, 65_535), default=PORT, help="Port to serve it on; 0: any.")
@cli.option(
    "VIEWER_TOKEN",
    "--token",
    callback=check_token,
    help="What the page's URL must hold.  [default: none on the loopback address, else one made at start]",
)
@cli.option(
    "VIEWER_ALLOWED_HOST",
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name that the page may be asked for by, besides localhost and the address; can be repeated.",
)
@cli.option(
    "VIEWER_PER_SECOND",
    "--per-second",
    type=cli.Finite(min=1, max=50),
    default=20.0,
    help="Predictions that are shown a second, of all there are.",
)
@cli.option(
    "VIEWER_UNSURE_BELOW",
    "--unsure-below",
    type=cli.Finite(min=0, max=1),
    default=0.6,
    help="Predictions with less confidence are pinned as unsure.",
)
@cli.request_topic
@cli.prediction_topic
@cli.dead_letter_topic
@cli.partitions
@cluster_options.cluster
@cli.verbose
def main(
    model: Path,
    contract: Path | None,
    host: str,
    port: int,
    token: str | None,
    allowed_hosts: tuple[str, ...],
    per_second: float,
    unsure_below: float,
    request_topic: str,
    prediction_topic: str,
    dead_letter_topic: str,
    partitions: int,
    cluster: Cluster,
) -> None:
    """Serve a page that shows images, predictions and dead letters as they come, and sends what is drawn on it.

    It reads in groups of its own, which commit nothing, from the end of the topics on.
    """
    known = read_contract(contract or model)
    topics = Topics(request_topic, prediction_topic, dead_letter_topic)
    token = token or (None if is_loopback(host) else secrets.token_urlsafe(24))
    stop = cli.stop_on_signals()
    with closing(listen(host, port)) as opened, cluster.connect(stop) as pubsub:
        pubsub.create_topic(topics.requests, partitions, REQUEST_TOPIC_CONFIG, "READ")
        pubsub.create_topic(topics.predictions, partitions, right="READ")
        pubsub.create_topic(topics.dead_letters, right="READ")
        board = Board()
        feed = Feed(pubsub.client, ends_of(cluster), topics, known, Choice(per_second, unsure_below), board, stop)
        sender = Sender(pubsub.client, topics.requests)
        hello, image_bytes = told(known)
        pages = Pages(board, feed.mine, sender, {"model": hello, "unsure_below": unsure_below}, image_bytes, stop)
        own_port = opened.getsockname()[1]
        name = socket.gethostname() if host in EVERYWHERE else host
        guard = Guard(pages.app(), token, (name, *allowed_hosts), own_port)
        feed.start()
        server = Server(guard, opened)
        click.echo(f"viewer ready on {_url(name, own_port, token)}")
        stop.wait()
        server.close()
        sender.close()
        feed.join()
    if feed.failure is not None:
        raise feed.failure


def _url(host: str, port: int, token: str | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + ("" if token is None else f"?token={token}")


if __name__ == "__main__":
    cli.run(main, "viewer")
