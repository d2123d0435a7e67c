"""The least that a program on the same client library can do, the floor of the client: `python -m bench.bare`."""

import threading
from typing import Any

import click

from edge import cli, cluster_options
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.confluent_options import connection_options
from edge.pubsub import CONFLUENT, KAFKA_PYTHON

_ANSWER = (
    b'{"id": "constant", "class": 9, "label": "Ankle boot", "confidence": 0.993, "model": "lenet", '
    b'"sha256": "000000000000", "queue_ms": 0.8, "infer_ms": 0.1, "batch": 1}'
)
_POLL_S, _FLUSH_S = 0.5, 10.0
_MOST = 500


@click.command(epilog="Example: python -m bench.bare --group bench.bare")
@cli.request_topic
@cli.prediction_topic
@cli.group("bench.bare")
@cli.partitions
@cluster_options.cluster
@cli.verbose
def main(request_topic: str, prediction_topic: str, group: str, partitions: int, cluster: Cluster) -> None:
    """Answer each record with the same value and the record's own headers, looking at neither.

    It commits nothing, and does not look whether an answer was written: one that was not is lost.
    """
    stop = cli.stop_on_signals()
    with cluster.connect(stop) as pubsub:
        pubsub.create_topic(request_topic, partitions, REQUEST_TOPIC_CONFIG, "READ")
        pubsub.create_topic(prediction_topic, partitions, right="WRITE")
    _LOOPS[cluster.client](cluster, request_topic, prediction_topic, group, stop)


def _answer_with_kafka_python(
    cluster: Cluster, requests: str, predictions: str, group: str, stop: threading.Event
) -> None:
    import kafka  # noqa: PLC0415 - only the client that is measured is loaded

    from edge.kafka_client import security_options  # noqa: PLC0415

    options = {"bootstrap_servers": cluster.bootstrap_servers.split(","), "metrics_enabled": False}
    options |= security_options(cluster.security)
    consumer = kafka.KafkaConsumer(
        requests, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **options
    )
    producer = kafka.KafkaProducer(acks="all", **options)
    while not stop.is_set():
        for records in consumer.poll(timeout_ms=int(_POLL_S * 1000)).values():
            for record in records:
                producer.send(predictions, _ANSWER, record.key, record.headers)
    producer.flush(_FLUSH_S)
    producer.close(1)
    consumer.close()


def _answer_with_confluent(
    cluster: Cluster, requests: str, predictions: str, group: str, stop: threading.Event
) -> None:
    from confluent_kafka import Consumer, Producer  # noqa: PLC0415 - only the client that is measured is loaded

    options = connection_options(cluster)
    reading = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**options, **reading})
    producer = Producer({**options, "enable.idempotence": True, "linger.ms": 0})
    consumer.subscribe([requests])
    while not stop.is_set():
        # consume would wait until it has as many as it was asked for: what is there with the first one is enough.
        first = consumer.poll(_POLL_S)
        for message in [first, *consumer.consume(_MOST, 0)] if first is not None else []:
            if message.error() is None:
                _produce(producer, predictions, message)
    producer.flush(_FLUSH_S)
    consumer.close()


def _produce(producer: Any, topic: str, message: Any) -> None:
    while True:
        try:
            producer.produce(topic, _ANSWER, message.key(), headers=message.headers())
        except BufferError:
            producer.poll(_POLL_S)
        else:
            producer.poll(0)
            return


_LOOPS = {KAFKA_PYTHON: _answer_with_kafka_python, CONFLUENT: _answer_with_confluent}

if __name__ == "__main__":
    cli.run(main, "bench.bare")
