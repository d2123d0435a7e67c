"""Senses images and writes them to the request topic: `python -m edge.query`."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from edge import cli, cluster_options, tracing
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.errors import BadDataError, ConfigurationError
from edge.images import IDX_IMAGES, load_images
from edge.outbox import DROP_OLDEST, REFUSE, Bounds, Direct, Outbox
from edge.pubsub import PubSub
from edge.sensed import Encode, ImageSource, Shown
from edge.sensing import sense

SAMPLES = Path("samples/fashion_mnist_test_200.npz")
INTERVAL_S = 5.0


@click.command(
    epilog="Example: python -m edge.query --interval 0.1 --limit 200 --device camera-1. Of image files: "
    "python -m edge.query --images camera/ --contract model.onnx --spool spool/ --device camera-1"
)
@cli.option(
    "IMAGES",
    "--images",
    type=click.Path(path_type=Path),
    default=SAMPLES,
    help="A .npz of image[, label, label_names], an IDX file, a folder of these, or a folder into which PNG and JPEG "
    "files are put: each is sent once it is complete, and then moved to the folder's own folder 'sent'.",
)
@cli.option(
    "CONTRACT",
    "--contract",
    type=click.Path(path_type=Path),
    help="The .onnx or contract.json of the model: PNG and JPEG files are resized and converted to what it takes.",
)
@cli.option(
    "INTERVAL",
    "--interval",
    type=cli.Finite(min=0),
    default=None,
    help=f"Seconds from image to image.  [default: {INTERVAL_S:g}, or 0 for PNG and JPEG files]",
)
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
@cli.option(
    "SPOOL",
    "--spool",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which each image is stored, and kept until Kafka has it: no broker need be there.",
)
@cli.option(
    "SPOOL_MAX_BYTES",
    "--spool-max-bytes",
    type=click.IntRange(min=64 * 1024),
    default=Bounds.max_bytes,
    help="What the spool may take on the disk.",
)
@cli.option(
    "SPOOL_MAX_AGE",
    "--spool-max-age",
    type=cli.Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="Drop images that were sensed longer ago, by this device's clock.  [default: keep them]",
)
@cli.option(
    "SPOOL_WHEN_FULL",
    "--spool-when-full",
    type=click.Choice([REFUSE, DROP_OLDEST]),
    default=Bounds.when_full,
    help="Do not accept new images, or drop those that have waited longest.",
)
@cli.option(
    "PRINT_IDS",
    "--print-ids",
    is_flag=True,
    help="Write the id of each image once it is safe: stored in the spool or, without one, acknowledged by Kafka.",
)
@cli.request_topic
@cli.partitions
@cluster_options.cluster
@cli.verbose
def main(
    images: Path,
    contract: Path | None,
    interval: float | None,
    limit: int | None,
    shuffle: bool,
    seed: int,
    device: str | None,
    traceparent: bool,
    spool: Path | None,
    spool_max_bytes: int,
    spool_max_age: float | None,
    spool_when_full: str,
    print_ids: bool,
    request_topic: str,
    partitions: int,
    cluster: Cluster,
) -> None:
    """Write one image each interval to the request topic, over and over, until stopped.

    The true label travels along when it is known, so that the consumer can tell right from wrong.
    """
    bounds = Bounds(spool_max_bytes, spool_max_age, spool_when_full)
    if spool is None and bounds != Bounds():
        raise click.UsageError("the bounds of a spool need --spool")
    stop = cli.stop_on_signals()
    key = None if device is None else os.fsencode(device)
    is_watched = _is_watched(images)
    if is_watched and shuffle:
        raise click.UsageError("PNG and JPEG files are sent in the order of their times: leave --shuffle out")
    source = _watch(images, contract, key) if is_watched else _show(images, contract, key, seed if shuffle else None)
    interval_s = (0.0 if is_watched else INTERVAL_S) if interval is None else interval

    encode = partial(tracing.request, topic=request_topic, with_trace=traceparent)
    with (
        _open_outbox(cluster, spool, bounds, request_topic, partitions, encode, stop) as outbox,
        _progress(outbox, source.is_lasting, limit, print_ids) as watched,
    ):
        sense(source, watched, interval_s, limit, print_ids, stop)
    broken = f", {source.broken} files left that cannot be read" if source.broken else ""
    click.echo(f"{outbox.summary}{broken}", err=print_ids)


def _is_watched(path: Path) -> bool:
    """Whether it is a folder into which pictures are put."""
    try:
        return path.is_dir() and not any(path.glob(f"*{IDX_IMAGES}*"))
    except OSError as error:
        raise ConfigurationError(f"this user cannot look at {path} ({error.strerror})") from None


def _show(path: Path, contract: Path | None, key: bytes | None, seed: int | None) -> ImageSource:
    images = load_images(path)
    if contract is not None:
        from edge.pictures import read_contract  # noqa: PLC0415 - most have no use for it

        wanted, image = read_contract(contract), images.image[0]
        if image.nbytes != wanted.input_bytes:
            raise BadDataError(
                f"{path} holds uint8 images of {image.shape}; {contract} asks for {wanted.dtype} of {wanted.shape}, "
                "and only PNG and JPEG files are converted"
            )
    return Shown(images, key, seed)


def _watch(path: Path, contract: Path | None, key: bytes | None) -> ImageSource:
    from edge.folder import Folder  # noqa: PLC0415
    from edge.pictures import Decoder, Target, read_contract  # noqa: PLC0415

    return Folder(path, Decoder(None if contract is None else Target.of(read_contract(contract))), key)


def _progress(outbox: Outbox, is_lasting: bool, limit: int | None, print_ids: bool) -> AbstractContextManager[Outbox]:
    """A bar on stderr, unless there is no end, nobody looks, or ids are written across it."""
    if limit is None or not sys.stderr.isatty() or (print_ids and sys.stdout.isatty()):
        return nullcontext(outbox)
    from edge.progressbar import progress  # noqa: PLC0415

    return progress(outbox, is_lasting, limit)


@contextmanager
def _open_outbox(
    cluster: Cluster,
    spool: Path | None,
    bounds: Bounds,
    topic: str,
    partitions: int,
    encode: Encode,
    stop: threading.Event,
) -> Iterator[Outbox]:
    def connect(cluster: Cluster, stop: threading.Event) -> PubSub:
        pubsub = cluster.connect(stop)
        pubsub.create_topic(topic, partitions, REQUEST_TOPIC_CONFIG, "WRITE")
        return pubsub

    if spool is None:
        with connect(cluster, stop) as pubsub:
            yield Direct(pubsub, topic, encode)
        return
    from edge.spooled import Spooled  # noqa: PLC0415 - sqlite3 is for who has a spool

    # A broker that is away is waited for beside the sensing, and not at the start.
    at_once = replace(cluster, broker_wait_s=0.0)
    patience_s = cluster.broker_wait_s
    with Spooled(spool, bounds, lambda end: connect(at_once, end).client, topic, patience_s, stop, encode) as outbox:
        yield outbox


if __name__ == "__main__":
    cli.run(main, "edge.query")
