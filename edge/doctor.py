"""Looks over a device before the apps run on it, and says what is wrong: `python -m edge.doctor`."""

import json
from pathlib import Path

import click

from edge import cli, cluster_options, logs
from edge.cluster import Cluster
from edge.pin import check_sha256
from edge.preflight import Check, Finding, Preflight, Status, examine

APPS = ("query", "classifier", "consumer")

_REACHED = ("packages", "host name", "TCP", "TLS", "API versions", "login", "brokers")

CHECKS = (
    Check("Python", "edge.checks_device:python"),
    Check("packages", "edge.checks_device:packages"),
    Check("processor", "edge.checks_device:processor"),
    Check("memory", "edge.checks_device:memory"),
    Check("disk", "edge.checks_device:disk"),
    Check("model", "edge.checks_model:model", ("packages",)),
    Check("golden inputs", "edge.checks_model:golden", ("model",)),
    Check("speed", "edge.checks_model:speed", ("model",)),
    Check("network", "edge.checks_network:network"),
    Check("cluster", "edge.checks_cluster:brokers", _REACHED),
    Check("topics", "edge.checks_cluster:topics", _REACHED),
    Check("rights", "edge.checks_cluster:rights", _REACHED),
    Check("group", "edge.checks_cluster:groups", _REACHED),
    Check("round trip", "edge.checks_trip:round_trip", _REACHED),
    Check("clock", "edge.checks_trip:clock", _REACHED),
)
THROUGH = Check("classifier", "edge.checks_trip:through_classifier", ("model", "topics", "rights", *_REACHED))


@click.command(epilog="Example: python -m edge.doctor --model samples/lenet.onnx --app classifier")
@click.option(
    "--app",
    "apps",
    type=click.Choice(APPS),
    multiple=True,
    default=("classifier",),
    show_default=True,
    help="What runs on this device; can be given several times.",
)
@cli.option("MODEL", "--model", type=click.Path(path_type=Path), help="The .onnx file to look at.")
@cli.option(
    "CONTRACT", "--contract", type=click.Path(path_type=Path), help="A contract.json for a model that carries none."
)
@cli.option("MODEL_SHA256", "--model-sha256", callback=check_sha256, metavar="HEX", help="What the model must be.")
@cli.option("SPOOL", "--spool", type=click.Path(path_type=Path), help="Folder of edge.query's spool, to look at.")
@cli.option(
    "MIN_FREE_MB",
    "--min-free-mb",
    type=click.IntRange(min=0),
    default=100,
    help="Less free disk than this, in MB, counts as full.",
)
@cli.option(
    "DOCTOR_TOPIC",
    "--doctor-topic",
    callback=cli.check_topic,
    default="edge_doctor",
    help="Topic of the doctor's own, which it creates for a round trip.",
)
@click.option("--through-classifier", is_flag=True, help="Send a golden image to a classifier that runs.")
@cli.request_topic
@cli.prediction_topic
@cli.dead_letter_topic
@cli.option("GROUP", "--group", callback=cli.check_name, help="Consumer group.  [default: each app's own name]")
@cli.json_output
@cluster_options.cluster
@cli.verbose
@click.pass_context
def main(
    context: click.Context,
    apps: tuple[str, ...],
    model: Path | None,
    contract: Path | None,
    model_sha256: str | None,
    spool: Path | None,
    min_free_mb: int,
    doctor_topic: str,
    through_classifier: bool,
    request_topic: str,
    prediction_topic: str,
    dead_letter_topic: str,
    group: str | None,
    as_json: bool,
    cluster: Cluster,
) -> None:
    """Check this device, its model, and the way to Kafka; one line each says what is wrong, and what to do.

    It waits for no broker, and changes nothing but a topic of its own. The exit code is 0 when the apps would work,
    else that of the first failure.
    """
    topics = {"request": request_topic, "prediction": prediction_topic, "dead letter": dead_letter_topic}
    preflight = Preflight(cluster, apps, topics, group, model, contract, model_sha256, spool, min_free_mb, doctor_topic)
    failures: list[Finding] = []
    for finding in examine(preflight, (*CHECKS, THROUGH) if through_classifier else CHECKS):
        click.echo(_json(finding) if as_json else _line(finding))
        if finding.status is Status.FAILURE:
            failures.append(finding)
    context.exit(failures[0].exit_code if failures else 0)


def _line(finding: Finding) -> str:
    # The first word of the line has said that it is skipped.
    message = finding.message.removeprefix("skipped, ") if finding.status is Status.SKIPPED else finding.message
    return f"{finding.status:7}  {finding.check:13}  {logs.printable(message)}"


def _json(finding: Finding) -> str:
    document = {"check": finding.check, "status": finding.status, "message": finding.message}
    return json.dumps({**document, "exit_code": finding.exit_code}, ensure_ascii=False)


if __name__ == "__main__":
    cli.run(main, "edge.doctor")
