"""The least that a program on the same client library can do, the floor of the client: `python -m bench.bare`."""

import threading

import click
import kafka

from edge import cli
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.kafka_client import security_options

_ANSWER = (
    b'{"id": "constant", "class": 9, "label": "Ankle boot", "confidence": 0.993, "model": "lenet", '
    b'"sha256": "000000000000", "queue_ms": 0.8, "infer_ms": 0.1, "batch": 1}'
)
_POLL_MS = 500


@click.command(epilog="Example: python -m bench.bare --group bench.bare")
@cli.request_topic
@cli.prediction_topic
@cli.group("bench.bare")
@cli.partitions
@cli.cluster
@cli.verbose
def main(request_topic: str, prediction_topic: str, group: str, partitions: int, cluster: Cluster) -> None:
    """Answer each record with the same value and the record's own headers, looking at neither.

    It commits nothing, and does not look whether an answer was written: one that was not is lost.
    """
    stop = cli.stop_on_signals()
    with cluster.connect(stop) as pubsub:
        pubsub.create_topic(request_topic, partitions, REQUEST_TOPIC_CONFIG, "READ")
        pubsub.create_topic(prediction_topic, partitions, right="WRITE")
    _answer_with_kafka_python(cluster, request_topic, prediction_topic, group, stop)


def _answer_with_kafka_python(
    cluster: Cluster, requests: str, predictions: str, group: str, stop: threading.Event
) -> None:
    options = {"bootstrap_servers": cluster.bootstrap_servers.split(","), "metrics_enabled": False}
    options |= security_options(cluster.security)
    consumer = kafka.KafkaConsumer(
        requests, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **options
    )
    producer = kafka.KafkaProducer(acks="all", **options)
    while not stop.is_set():
        for records in consumer.poll(timeout_ms=_POLL_MS).values():
            for record in records:
                producer.send(predictions, _ANSWER, record.key, record.headers)
    producer.flush(10)
    producer.close(1)
    consumer.close()


if __name__ == "__main__":
    cli.run(main, "bench.bare")
