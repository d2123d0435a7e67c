"""One classifier takes over from another, and a sink lets go in an outage; `tests/faults` has the other faults."""

import os
import signal
import threading

import pytest

from edge.images import Images
from edge.kafka_client import KafkaClient
from localkafka import LocalKafka
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire, requests

pytestmark = pytest.mark.kafka


def test_two_classifiers_share_four_partitions_and_one_takes_over(wire: Wire, samples: Images) -> None:
    wire.create(partitions=4)
    numbered = requests(samples, 2000)
    with Process("edge.classifier", *wire.classifier) as first, Process("edge.classifier", *wire.classifier) as second:
        wait_until(lambda: len(assigned(first)) == 2 and len(assigned(second)) == 2, "two partitions for each")
        wire.send(numbered[:1000], key=lambda n: str(n % 16).encode())
        wait_until(lambda: len(wire.answers()) > 100, "some predictions")
        second.kill()
        wire.send(numbered[1000:], key=lambda n: str(n % 16).encode())
        wait_until(lambda: len(set(wire.answers())) >= 2000, "every prediction")
        assert first.terminate() == 0
    assert {int(answer) for answer in wire.answers()} == set(range(2000))


def test_a_sink_that_is_closed_in_an_outage_writes_no_more() -> None:
    with LocalKafka() as broker:
        client = KafkaClient(broker.bootstrap_servers)
        client.create_topic("out", 1, {})
        sink, settled = client.open_sink(), threading.Event()
        sink.write("out", b"first", None, [], lambda _: settled.set())
        assert settled.wait(30)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        sink.write("out", b"second", None, [], lambda _: None)
        assert senders()
        sink.close(0.0)
        assert not senders()


def senders() -> list[str]:
    """The threads of this process that write to Kafka."""
    return [thread.name for thread in threading.enumerate() if "producer" in thread.name]


def assigned(classifier: Process) -> list[str]:
    lines = [line for line in classifier.errors if "partitions assigned" in line]
    return [] if not lines else lines[-1].partition("assigned: ")[2].split(", ")
