"""Senses images and writes them to the request topic: `python -m edge.query`."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from edge import cli
from edge.cluster import Cluster
from edge.codec import CREATED_NS, REQUEST_ID, REQUEST_TOPIC_CONFIG, TRUE_LABEL
from edge.errors import EdgeError
from edge.images import Images, load_images
from edge.pubsub import PubSub

SAMPLES = Path("samples/fashion_mnist_test_200.npz")


@click.command(epilog="Example: python -m edge.query --interval 0.1 --limit 200 --device camera-1")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    default=SAMPLES,
    show_default=True,
    help="A .npz of image[, label, label_names], an IDX file, or a folder of them.",
)
@click.option("--interval", type=cli.Finite(min=0), default=5.0, show_default=True, help="Seconds from image to image.")
@cli.limit
@click.option("--shuffle", is_flag=True, help="Send the images in random order.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random order.")
@cli.option(
    "DEVICE",
    "--device",
    callback=cli.check_name,
    help="Name of this device: the key of its requests, which Kafka keeps in order.",
)
@cli.request_topic
@cli.partitions
@cli.cluster
@cli.verbose
def main(
    images: Path,
    interval: float,
    limit: int | None,
    shuffle: bool,
    seed: int,
    device: str | None,
    request_topic: str,
    partitions: int,
    cluster: Cluster,
) -> None:
    """Write one image each interval to the request topic, over and over, until stopped.

    The true label travels along when it is known, so that the consumer can tell right from wrong.
    """
    stop = cli.stop_on_signals()
    source = load_images(images)
    order = _order(len(source.image), seed if shuffle else None)
    with cluster.connect(stop) as pubsub:
        pubsub.create_topic(request_topic, partitions, REQUEST_TOPIC_CONFIG, "WRITE")
        sent = 0
        next_s = time.monotonic()
        while sent != limit and not stop.wait(max(0.0, next_s - time.monotonic())):
            _send(pubsub, request_topic, source, next(order), device)
            sent += 1
            # After a pause, a sensor goes on at its pace instead of catching up.
            next_s = max(next_s + interval, time.monotonic())
        _finish(pubsub, sent)


def _order(count: int, seed: int | None) -> Iterator[int]:
    generator = None if seed is None else np.random.default_rng(seed)
    while True:
        yield from range(count) if generator is None else map(int, generator.permutation(count))


def _send(pubsub: PubSub, topic: str, images: Images, index: int, device: str | None) -> None:
    headers = [(REQUEST_ID, uuid.uuid4().hex.encode()), (CREATED_NS, str(time.time_ns()).encode())]
    true_label = images.true_label(index)
    if true_label is not None:
        headers.append((TRUE_LABEL, true_label.encode()))
    key = None if device is None else os.fsencode(device)
    pubsub.write(topic, images.image[index].tobytes(), key, headers)


def _finish(pubsub: PubSub, sent: int) -> None:
    try:
        pubsub.flush()
    except EdgeError:
        click.echo(f"of {sent} images written, not all were acknowledged", err=True)
        raise
    click.echo(f"{sent} images sent and acknowledged")


if __name__ == "__main__":
    cli.run(main, "edge.query")
