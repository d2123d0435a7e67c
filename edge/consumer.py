"""Reads predictions and prints them: `python -m edge.consumer`."""

import json
import logging
import time
from dataclasses import dataclass

import click

from edge import cli, cluster_options, logs, tracing
from edge.cluster import Cluster
from edge.codec import CREATED_NS, TRUE_LABEL, Prediction, decode_prediction, header
from edge.errors import BadDataError
from edge.records import Record

log = logging.getLogger("edge.consumer")

NS_DIGITS = 19


@dataclass
class Score:
    """How many predictions were right, of those whose true label is known."""

    right: int = 0
    known: int = 0

    def add(self, prediction: Prediction, true_label: str | None) -> bool | None:
        """Count one; returns whether it was right, None when nobody knows."""
        if true_label is None:
            return None
        is_right = prediction.is_right(true_label)
        self.known += 1
        self.right += is_right
        return is_right

    def __str__(self) -> str:
        return f"accuracy {self.right / self.known:.4f} ({self.right} of {self.known})" if self.known else ""


@click.command(epilog="Example: python -m edge.consumer --limit 200 --json")
@cli.prediction_topic
@cli.group("edge.consumer")
@cli.json_output
@cli.limit
@cli.partitions
@cluster_options.cluster
@cli.verbose
def main(
    prediction_topic: str,
    group: str,
    as_json: bool,
    limit: int | None,
    partitions: int,
    cluster: Cluster,
) -> None:
    """Print each prediction, and how often they were right where the true label is known."""
    stop = cli.stop_on_signals()
    score, count = Score(), 0
    with cluster.connect(stop) as pubsub:
        pubsub.create_topic(prediction_topic, partitions, right="READ")
        for record in pubsub.subscribe(prediction_topic, group, limit):
            count += 1
            try:
                prediction = decode_prediction(record)
            except BadDataError as error:
                log.warning("%s", error, extra=logs.place(record))
                continue
            tracing.read(prediction.id, record)
            true_label = header(record, TRUE_LABEL)
            is_right = score.add(prediction, true_label)
            click.echo(_json(true_label, record) if as_json else _line(prediction, true_label, is_right, score))
    summary = f"{count} predictions read"
    (logs.say if as_json else click.echo)(f"{summary}, {score}" if score.known else summary)


def _line(prediction: Prediction, true_label: str | None, is_right: bool | None, score: Score) -> str:
    line = f"{prediction.id[:12]:12}  {prediction.label:<14} {prediction.confidence:7.2%}"
    if is_right is not None:
        verdict = "right" if is_right else f"wrong, it is {true_label}"
        line = f"{line}  {verdict:<26}  {score}"
    return logs.printable(line)


def _json(true_label: str | None, record: Record) -> str:
    created = header(record, CREATED_NS) or ""
    is_time = created.isascii() and created.isdecimal() and len(created) <= NS_DIGITS
    age_ms = round((time.time_ns() - int(created)) / 1e6, 3) if is_time else None
    key = None if record.key is None else record.key.decode("utf-8", "replace")
    document = {**json.loads(record.value or b""), "true_label": true_label, "key": key, "age_ms": age_ms}
    return json.dumps(document, ensure_ascii=False)


if __name__ == "__main__":
    cli.run(main, "edge.consumer")
