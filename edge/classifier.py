"""Reads images, predicts, writes predictions: `python -m edge.classifier`."""

import logging
from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from edge import cli, cluster_options
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.delivery import COMMIT_INTERVAL_S, AtLeastOnce, Delivery
from edge.hooks import Hooks, Observer, Served, plugged
from edge.model import load_model
from edge.pin import check_sha256
from edge.records import TRANSACTION_TIMEOUT_S, Client
from edge.service import MAX_BATCH, Options, Service
from edge.traced import traced
from edge.transactions import ExactlyOnce

log = logging.getLogger("edge.classifier")

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
@cli.option(
    "WATCH_MODEL",
    "--watch-model",
    type=cli.Finite(min=0.05),
    metavar="SECONDS",
    help="Look so often, and on SIGHUP, whether the model file was replaced, and serve the new one.  [default: never]",
)
@cli.request_topic
@cli.prediction_topic
@cli.dead_letter_topic
@cli.group("edge.classifier")
@delivery_option
@cli.option(
    "MAX_AGE",
    "--max-age",
    type=cli.Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="A request that is older goes to the dead letters, unanswered.  [default: no limit]",
)
@cli.option(
    "ESCALATE_BELOW",
    "--escalate-below",
    type=cli.Finite(min=0, max=1, min_open=True),
    metavar="CONFIDENCE",
    help="Copy requests that are answered with less confidence to another topic, too.  [default: none]",
)
@cli.option(
    "ESCALATE_TOPIC",
    "--escalate-topic",
    default="prediction_escalated",
    callback=cli.check_topic,
    help="Topic of these copies.",
)
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
@cli.option(
    "METRICS_PORT",
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve /metrics for Prometheus, /livez and /readyz on this port, 0 for any free one; needs prometheus-client.",
)
@cli.option(
    "METRICS_HOST",
    "--metrics-host",
    callback=cli.check_name,
    help="Address of that port; nobody is asked for a password there.  [default: 127.0.0.1]",
)
@cli.partitions
@cluster_options.cluster
@cli.verbose
def main(
    model: Path,
    contract: Path | None,
    model_sha256: str | None,
    watch_model: float | None,
    request_topic: str,
    prediction_topic: str,
    dead_letter_topic: str,
    group: str,
    delivery: str,
    max_age: float | None,
    escalate_below: float | None,
    escalate_topic: str,
    instance_id: str | None,
    max_batch: int,
    threads: int,
    max_dead_letter_bytes: int,
    commit_interval: float,
    drain_timeout: float,
    metrics_port: int | None,
    metrics_host: str | None,
    partitions: int,
    cluster: Cluster,
) -> None:
    """Answer each image in the request topic with one prediction, at least once or exactly once.

    A record that cannot be answered goes to the dead-letter topic with the reason. To scale out, start more
    of these in the same group, on a request topic with as many partitions.
    """
    _check(click.get_current_context())
    stop = cli.stop_on_signals()
    observer = Observer() if metrics_port is None else _metrics(metrics_host or "127.0.0.1", metrics_port, max_batch)
    observer = traced(observer)
    served = Served(load_model(model, contract, model_sha256, threads))
    log.info("loaded %s %s (%s)", served.model.contract.name, served.model.sha256, model)
    observer.loaded(served)
    pubsub = cluster.connect(stop, instance_id)
    pubsub.create_topic(request_topic, partitions, REQUEST_TOPIC_CONFIG, "READ")
    pubsub.create_topic(prediction_topic, partitions, right="WRITE")
    pubsub.create_topic(dead_letter_topic, 1, right="WRITE")
    if escalate_below is not None:
        pubsub.create_topic(escalate_topic, partitions, REQUEST_TOPIC_CONFIG, "WRITE")
    name = f"{group}.{instance_id}"
    guarantee = _guarantee(pubsub.client, delivery, name, commit_interval)
    source = pubsub.client.open_source(request_topic, group, guarantee.on_revoked)
    guarantee.attach(source)
    observer.connected(source, guarantee)
    written = Options(prediction_topic, dead_letter_topic, max_batch, max_dead_letter_bytes)
    watched = None if watch_model is None else _watched(served, model, contract, model_sha256, threads, watch_model)
    hooks = Hooks(watched or (lambda: served), observer=observer)
    hooks, counting = plugged(hooks, max_age, escalate_below, escalate_topic, max_dead_letter_bytes)
    service = Service(source, guarantee, hooks, written)
    try:
        service.run(stop)
    finally:
        unanswered = guarantee.drain(drain_timeout)
        source.close()
        guarantee.close()
        counts, rest = service.counts, "".join(f", {each.summary}" for each in counting)
        log.info("stopped: %d predictions, %d dead letters written%s", counts.predictions, counts.dead_letters, rest)
        if unanswered:
            log.warning("%d requests were not finished: they will be read again", unanswered)


def _check(context: click.Context) -> None:
    """Raises UsageError for options that contradict one another."""
    given = context.params
    topics = [given["request_topic"], given["prediction_topic"], given["dead_letter_topic"]]
    if len(set(topics)) < len(topics):
        raise click.UsageError("the topics of requests, predictions and dead letters must differ")
    if given["escalate_below"] is not None and given["escalate_topic"] in topics:
        raise click.UsageError("the --escalate-topic must differ from those of requests, predictions and dead letters")
    is_default = context.get_parameter_source("escalate_topic") is ParameterSource.DEFAULT
    if given["escalate_below"] is None and not is_default:
        raise click.UsageError("--escalate-topic needs --escalate-below: which requests are copied to it")
    is_exactly_once = given["delivery"] == EXACTLY_ONCE
    if is_exactly_once and given["instance_id"] is None:
        raise click.UsageError("--delivery exactly-once needs --instance-id: a name for this process that it keeps")
    if is_exactly_once and given["commit_interval"] > TRANSACTION_TIMEOUT_S / 2:
        raise click.UsageError(f"exactly-once needs a --commit-interval of at most {TRANSACTION_TIMEOUT_S / 2:.0f} s")
    if given["metrics_host"] is not None and given["metrics_port"] is None:
        raise click.UsageError("--metrics-host needs --metrics-port")


def _guarantee(client: Client, delivery: str, name: str, commit_interval_s: float) -> Delivery:
    if delivery == EXACTLY_ONCE:
        return ExactlyOnce(lambda: client.open_transactional_sink(name), commit_interval_s)
    return AtLeastOnce(client.open_sink, commit_interval_s)


def _watched(
    served: Served, model: Path, contract: Path | None, sha256: str | None, threads: int, interval_s: float
) -> Callable[[], Served]:
    from edge.swap import ModelFile, ModelWatch  # noqa: PLC0415 - only for whoever asks for it

    watch = ModelWatch(served, ModelFile(model, contract, sha256, threads), interval_s)
    watch.start()
    click.get_current_context().call_on_close(watch.close)
    return watch.model


def _metrics(host: str, port: int, max_batch: int) -> Observer:
    from edge.metrics_server import serve_metrics  # noqa: PLC0415 - only for whoever asks for it

    server = serve_metrics(host, port, max_batch)
    click.get_current_context().call_on_close(server.close)
    return server.metrics


if __name__ == "__main__":
    cli.run(main, "edge.classifier")
