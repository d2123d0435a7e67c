"""What several benchmarks are told: what to serve and to send, on which cluster, and where the result goes."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench import result
from edge import cli, cluster_options
from edge.classifier import delivery_option
from edge.cluster import Cluster
from edge.query import SAMPLES

MODEL = Path("samples/lenet.onnx")

model_option = cli.option(
    "MODEL", "--model", type=click.Path(path_type=Path), default=MODEL, help="The .onnx file to serve."
)
images_option = click.option(
    "--images", type=click.Path(path_type=Path), default=SAMPLES, show_default=True, help="The images to send."
)
rounds_option = click.option(
    "--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="How often all is measured."
)
timeout_option = click.option(
    "--timeout", type=cli.Finite(min=1), default=300.0, show_default=True, help="Seconds that one drain may take."
)


@dataclass(frozen=True)
class Setup:
    """What classifiers are measured with; `cluster` is None where a broker of our own is started."""

    model: Path
    images: Path
    output: Path
    delivery: str
    cluster: Cluster | None
    extra: Sequence[str]
    """Options of the classifier that the benchmark does not know."""

    @property
    def options(self) -> list[str]:
        """All options of the classifier that do not depend on its topics."""
        return [*self.extra, "--model", str(self.model.resolve())]

    @property
    def configuration(self) -> dict[str, Any]:
        """For the result."""
        return {
            "model": self.model.name,
            "images": self.images.name,
            "delivery": self.delivery,
            "options": list(self.extra),
            "own_broker": self.cluster is None,
            "client": cluster_options.chosen_client() if self.cluster is None else self.cluster.client,
        }


def of_classifiers(output: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a benchmark that starts classifiers; the command takes them as one `setup`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def collapse(
            *args: Any,
            model: Path,
            images: Path,
            output: Path,
            delivery: str,
            cluster: Cluster | None,
            options: Sequence[str],
            **rest: Any,
        ) -> Any:
            return command(*args, setup=Setup(model, images, output, delivery, cluster, options), **rest)

        decorated: Callable[..., Any] = click.argument("options", nargs=-1, metavar="[-- CLASSIFIER OPTIONS]")(collapse)
        shared = (cli.verbose, cluster_options.cluster_or_own, delivery_option, result.output_option(output))
        for option in (*shared, images_option, model_option):
            decorated = option(decorated)
        return decorated

    return decorate
