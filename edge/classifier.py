"""Reads images, predicts, writes predictions: `python -m edge.classifier`."""

import logging
from pathlib import Path

import click

from edge import cli
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.delivery import COMMIT_INTERVAL_S, AtLeastOnce, Delivery
from edge.hooks import Hooks, Served
from edge.model import load_model
from edge.pin import check_sha256
from edge.records import Client
from edge.service import MAX_BATCH, Options, Service
from edge.transactions import TRANSACTION_TIMEOUT_S, ExactlyOnce

log = logging.getLogger(__name__)

AT_LEAST_ONCE, EXACTLY_ONCE = "at-least-once", "exactly-once"

delivery_option = cli.option(
    "DELIVERY",
    "--delivery",
    type=click.Choice([AT_LEAST_ONCE, EXACTLY_ONCE]),
    default=AT_LEAST_ONCE,
    help="exactly-once answers in transactions, and needs --instance-id.",
)


@click.command(epilog="Example: python -m edge.classifier --model samples/lenet.onnx")
@cli.option(
    "MODEL", "--model", type=click.Path(path_type=Path), default=Path("model.onnx"), help="The .onnx file to serve."
)
@cli.option(
    "CONTRACT",
    "--contract",
    type=click.Path(path_type=Path),
    help="A contract.json for a model that carries none.",
)
@cli.option(
    "MODEL_SHA256",
    "--model-sha256",
    callback=check_sha256,
    metavar="HEX",
    help="Serve the model only if its SHA-256 is this, 64 hex digits.",
)
@cli.request_topic
@cli.prediction_topic
@cli.dead_letter_topic
@cli.group("edge.classifier")
@delivery_option
@cli.option(
    "INSTANCE_ID",
    "--instance-id",
    callback=cli.check_name,
    help="Name of this process in its group: a restart then rejoins at once.",
)
@cli.option(
    "MAX_BATCH",
    "--max-batch",
    type=click.IntRange(1, 4096),
    default=MAX_BATCH,
    help="Most images read and answered at once.",
)
@cli.option(
    "THREADS",
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    help="Threads for one inference; a small model is slower with more than one.",
)
@cli.option(
    "MAX_DEAD_LETTER_BYTES",
    "--max-dead-letter-bytes",
    type=click.IntRange(4096, 1_000_000),
    default=900_000,
    help="A dead letter that would be larger goes without its value.",
)
@cli.option(
    "COMMIT_INTERVAL",
    "--commit-interval",
    type=cli.Finite(min=0.01),
    default=COMMIT_INTERVAL_S,
    metavar="SECONDS",
    help="How often offsets, or transactions, are committed.",
)
@cli.option(
    "DRAIN_TIMEOUT",
    "--drain-timeout",
    type=cli.Finite(min=0),
    default=10.0,
    metavar="SECONDS",
    help="How long to wait, when stopped, for what is in flight.",
)
@cli.partitions
@cli.cluster
@cli.verbose
def main(
    model: Path,
    contract: Path | None,
    model_sha256: str | None,
    request_topic: str,
    prediction_topic: str,
    dead_letter_topic: str,
    group: str,
    delivery: str,
    instance_id: str | None,
    max_batch: int,
    threads: int,
    max_dead_letter_bytes: int,
    commit_interval: float,
    drain_timeout: float,
    partitions: int,
    cluster: Cluster,
) -> None:
    """Answer each image in the request topic with one prediction, at least once or exactly once.

    A record that cannot be answered goes to the dead-letter topic with the reason. To scale out, start more
    of these in the same group, on a request topic with as many partitions.
    """
    if len({request_topic, prediction_topic, dead_letter_topic}) < 3:
        raise click.UsageError("the topics of requests, predictions and dead letters must differ")
    if delivery == EXACTLY_ONCE and instance_id is None:
        raise click.UsageError("--delivery exactly-once needs --instance-id: a name for this process that it keeps")
    if delivery == EXACTLY_ONCE and commit_interval > TRANSACTION_TIMEOUT_S / 2:
        raise click.UsageError(f"exactly-once needs a --commit-interval of at most {TRANSACTION_TIMEOUT_S / 2:.0f} s")
    stop = cli.stop_on_signals()
    served = Served(load_model(model, contract, model_sha256, threads))
    log.info("serving %s %s (%s)", served.model.contract.name, served.model.sha256, model)
    pubsub = cluster.connect(stop, instance_id)
    pubsub.create_topic(request_topic, partitions, REQUEST_TOPIC_CONFIG, "READ")
    pubsub.create_topic(prediction_topic, partitions, right="WRITE")
    pubsub.create_topic(dead_letter_topic, 1, right="WRITE")
    name = f"{group}.{instance_id}"
    guarantee = _guarantee(pubsub.client, delivery, name, commit_interval)
    source = pubsub.client.open_source(request_topic, group, guarantee.on_revoked)
    guarantee.attach(source)
    written = Options(prediction_topic, dead_letter_topic, max_batch, max_dead_letter_bytes)
    service = Service(source, guarantee, Hooks(lambda: served), written)
    try:
        service.run(stop)
    finally:
        unanswered = guarantee.drain(drain_timeout)
        source.close()
        guarantee.close()
        counts = service.counts
        log.info("stopped: %d predictions, %d dead letters written", counts.predictions, counts.dead_letters)
        if unanswered:
            log.warning("%d requests were not finished: they will be read again", unanswered)


def _guarantee(client: Client, delivery: str, name: str, commit_interval_s: float) -> Delivery:
    if delivery == EXACTLY_ONCE:
        return ExactlyOnce(lambda: client.open_transactional_sink(name), commit_interval_s)
    return AtLeastOnce(client.open_sink, commit_interval_s)


if __name__ == "__main__":
    cli.run(main, "edge.classifier")
