"""Senses images and writes them to the request topic: `python -m edge.query`."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from edge import cli, logs, tracing
from edge.cluster import Cluster
from edge.codec import CREATED_NS, REQUEST_ID, REQUEST_TOPIC_CONFIG, TRACEPARENT, TRUE_LABEL
from edge.errors import EdgeError
from edge.images import Images, load_images
from edge.pubsub import PubSub

SAMPLES = Path("samples/fashion_mnist_test_200.npz")


@click.command(epilog="Example: python -m edge.query --interval 0.1 --limit 200 --device camera-1")
@cli.option(
    "IMAGES",
    "--images",
    type=click.Path(path_type=Path),
    default=SAMPLES,
    help="A .npz of image[, label, label_names], an IDX file, or a folder of them.",
)
@cli.option("INTERVAL", "--interval", type=cli.Finite(min=0), default=5.0, help="Seconds from image to image.")
@cli.limit
@cli.option("SHUFFLE", "--shuffle", is_flag=True, help="Send the images in random order.")
@cli.option("SEED", "--seed", type=click.IntRange(min=0), default=0, help="Seed of the random order.")
@cli.option(
    "DEVICE",
    "--device",
    callback=cli.check_name,
    help="Name of this device: the key of its requests, which Kafka keeps in order.",
)
@cli.option(
    "TRACEPARENT",
    "--traceparent",
    is_flag=True,
    help="Begin a W3C trace with each request; its trace id is the request's id.",
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
    traceparent: bool,
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
            _send(pubsub, request_topic, source, next(order), device, traceparent)
            sent += 1
            # After a pause, a sensor goes on at its pace instead of catching up.
            next_s = max(next_s + interval, time.monotonic())
        _finish(pubsub, sent)


def _order(count: int, seed: int | None) -> Iterator[int]:
    generator = None if seed is None else np.random.default_rng(seed)
    while True:
        yield from range(count) if generator is None else map(int, generator.permutation(count))


def _send(pubsub: PubSub, topic: str, images: Images, index: int, device: str | None, with_trace: bool) -> None:
    request_id = uuid.uuid4().hex
    headers = [(REQUEST_ID, request_id.encode()), (CREATED_NS, str(time.time_ns()).encode())]
    true_label = images.true_label(index)
    if true_label is not None:
        headers.append((TRUE_LABEL, true_label.encode()))
    if with_trace:
        headers.append((TRACEPARENT, tracing.new_traceparent(request_id)))
    key = None if device is None else os.fsencode(device)
    pubsub.write(topic, images.image[index].tobytes(), key, headers)
    tracing.sent(request_id, topic, headers)


def _finish(pubsub: PubSub, sent: int) -> None:
    try:
        pubsub.flush()
    except EdgeError:
        logs.say(f"of {sent} images written, not all were acknowledged")
        raise
    click.echo(f"{sent} images sent and acknowledged")


if __name__ == "__main__":
    cli.run(main, "edge.query")
