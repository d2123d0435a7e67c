"""Crashes and outages over a real Kafka: nothing is lost, and the order of first appearances holds."""

import os
import signal
import threading

import pytest

from edge.images import Images
from edge.kafka_client import KafkaClient
from localkafka import LocalKafka
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire, requests, wire_on

pytestmark = pytest.mark.kafka


def assert_all_answered(wire: Wire, count: int) -> None:
    answers = [int(answer) for answer in wire.answers()]
    assert set(answers) == set(range(count))
    assert list(dict.fromkeys(answers)) == list(range(count)), "one key's first answers are out of order"


def test_kill_9_in_the_middle_of_two_thousand_requests_loses_none(wire: Wire, samples: Images) -> None:
    wire.create()
    wire.send(requests(samples, 2000))
    for _ in range(3):
        before = len(wire.answers())
        with Process("edge.classifier", *wire.classifier, "--max-batch", "4", "--instance-id", "one") as classifier:
            wait_until(lambda seen=before: len(wire.answers()) > seen, "another prediction")  # type: ignore[misc]
            classifier.kill()
    with Process("edge.classifier", *wire.classifier, "--instance-id", "one") as classifier:
        wait_until(lambda: len(set(wire.answers())) >= 2000, "every prediction")
        assert classifier.terminate() == 0
    assert_all_answered(wire, 2000)


def test_a_broker_that_is_killed_and_comes_back_loses_none(samples: Images) -> None:
    with LocalKafka() as broker:
        wire = wire_on(broker)
        wire.create()
        wire.send(requests(samples, 1000))
        with Process("edge.classifier", *wire.classifier, "--max-batch", "2") as classifier:
            wait_until(lambda: len(wire.answers()) > 0, "a first prediction")
            broker.kill()
            broker.start()
            wire.send(requests(samples, 2000)[1000:])
            wait_until(lambda: len(set(wire.answers())) >= 2000, "every prediction")
            assert classifier.terminate() == 0
        assert_all_answered(wire, 2000)


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
