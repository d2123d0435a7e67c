"""The whole edge on this machine, as `make demo` shows it: a broker, three apps, and the count at the end."""

from collections import Counter
from pathlib import Path

import click

from bench.apps import App, broker, unwind_on_sigterm
from bench.errors import AppError
from bench.options import model_option
from edge import cli
from edge.codec import REQUEST_ID, decode_prediction, header
from edge.images import load_images
from edge.model import load_model
from edge.pubsub import READ_LIMIT, PubSub
from edge.query import SAMPLES
from edge.records import Record

TIMEOUT_S = 60.0
FIRST_READ_S, NEXT_READ_S = 10.0, 1.0


@click.command()
@model_option
@click.option("--images", type=click.Path(path_type=Path), default=SAMPLES, show_default=True, help="Images to send.")
@click.option("--count", type=click.IntRange(min=1), default=200, show_default=True, help="How many to send.")
@click.option("--interval", type=cli.Finite(min=0), default=0.05, show_default=True, help="Seconds between two.")
@click.option("--draw", is_flag=True, help="Draw each image beside its prediction.")
def main(model: Path, images: Path, count: int, interval: float, draw: bool) -> None:
    """Start a local Kafka and the three apps, each a process of its own, and print what they predict.

    Fails when a request was lost.
    """
    unwind_on_sigterm()
    load_images(images)
    load_model(model)
    drawn = ["--images", "--contract", str(model.resolve())] if draw else []
    with broker(None) as cluster:
        with (
            App(cluster, "edge.classifier", "--model", str(model.resolve())),
            App(cluster, "edge.consumer", "--limit", str(count), *drawn) as consumer,
            App(
                cluster,
                "edge.query",
                "--images",
                str(images.resolve()),
                "--interval",
                str(interval),
                "--limit",
                str(count),
                TERM="dumb",  # its progress bar would run through the consumer's lines
            ) as query,
        ):
            is_sent = query.is_done_within(count * interval + TIMEOUT_S)
            if not (is_sent and consumer.is_done_within(TIMEOUT_S)):
                click.echo("not every prediction has come in time; counting what did", err=True)
        with cluster.connect() as pubsub:
            lost, duplicated = _compare(pubsub)
    click.echo(f"{count} requests through three processes and a real Kafka: {lost} lost, {duplicated} duplicated")
    if lost:
        raise AppError(f"{lost} requests were not answered")


def _compare(pubsub: PubSub) -> tuple[int, int]:
    asked = {header(record, REQUEST_ID) for record in _records(pubsub, "prediction_request")}
    answered = Counter(decode_prediction(record).id for record in _records(pubsub, "prediction_output"))
    return len(asked - set(answered)), sum(n - 1 for n in answered.values())


def _records(pubsub: PubSub, topic: str) -> list[Record]:
    """All records of a topic to which nobody writes any more."""
    source = pubsub.client.open_source(topic, f"demo.{topic}", lambda _: {})
    records = source.read(READ_LIMIT, FIRST_READ_S)
    while batch := source.read(READ_LIMIT, NEXT_READ_S):
        records += batch
    source.close()
    return records


if __name__ == "__main__":
    cli.run(main, "bench.demo")
