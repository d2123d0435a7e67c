"""The apps as processes over a real Kafka: the main job, and how each of them starts and ends."""

import json
import signal
import socket

import pytest

from edge.images import Images
from edge.pubsub import connect
from localkafka import LocalKafka
from localkafka.ports import free_port
from tests.paths import LENET
from tests.system.processes import Process, run, wait_until
from tests.system.wire import Wire, requests

pytestmark = pytest.mark.kafka


def test_two_hundred_images_go_through_three_processes(wire: Wire) -> None:
    to = ["--bootstrap-servers", wire.servers]
    with (
        Process("edge.classifier", *wire.classifier) as classifier,
        Process("edge.consumer", *to, "--prediction-topic", wire.predictions, "--limit", "200") as consumer,
    ):
        query = run("edge.query", *to, "--request-topic", wire.requests, "--interval", "0", "--limit", "200")
        assert (query.process.returncode, query.lines) == (0, ["200 images sent and acknowledged"])
        assert consumer.end() == 0
        assert classifier.terminate() == 0
    assert len(consumer.lines) == 201
    summary = consumer.lines[-1]
    assert summary.startswith("200 predictions read, accuracy 0.")
    assert float(summary.split()[4]) >= 0.85
    assert sum("right" in line for line in consumer.lines) == int(summary.split("(")[1].split()[0])
    assert "200 predictions, 0 dead letters written" in classifier.log
    assert len(set(wire.answers())) == 200


def test_the_consumer_writes_json_lines_that_say_everything(wire: Wire) -> None:
    to = ["--bootstrap-servers", wire.servers]
    with Process("edge.classifier", *wire.classifier) as classifier:
        run("edge.query", *to, "--request-topic", wire.requests, "--interval", "0", "--limit", "3", "--device", "cam")
        consumer = run("edge.consumer", *to, "--prediction-topic", wire.predictions, "--limit", "3", "--json")
        assert classifier.terminate() == 0
    documents = [json.loads(line) for line in consumer.lines]
    assert {document["key"] for document in documents} == {"cam"}
    assert {document["model"] for document in documents} == {"lenet"}
    assert all(document["true_label"] and document["age_ms"] > 0 for document in documents)
    assert set(documents[0]) == {
        "id",
        "class",
        "label",
        "confidence",
        "model",
        "sha256",
        "queue_ms",
        "infer_ms",
        "batch",
        "true_label",
        "key",
        "age_ms",
    }


def test_the_counter_writes_and_reads_a_hundred_numbers(kafka: LocalKafka) -> None:
    to = ["--bootstrap-servers", kafka.bootstrap_servers, "--topic", "test_A"]
    written = run("edge.counter", "produce", *to, "--interval", "0")
    assert (written.process.returncode, written.lines) == (0, [f"wrote {n}" for n in range(1, 101)])
    read = run("edge.counter", "consume", *to, "--limit", "100")
    assert (read.process.returncode, read.lines) == (0, [f"read {n}" for n in range(1, 101)])


def test_ten_lines_publish_and_subscribe(kafka: LocalKafka) -> None:
    with connect(kafka.bootstrap_servers) as pubsub:
        pubsub.create_topic("greetings")
        pubsub.write("greetings", b"hello", b"key", [("a", b"b")])
        (record,) = pubsub.subscribe("greetings", group="readers", limit=1)
    assert (record.value, record.key, list(record.headers)) == (b"hello", b"key", [("a", b"b")])
    with connect(kafka.bootstrap_servers) as pubsub:
        pubsub.write("greetings", b"again")
        (record,) = pubsub.subscribe("greetings", group="readers", limit=1)
    assert record.value == b"again"


def test_sigterm_finishes_what_is_in_flight_and_commits(wire: Wire, samples: Images) -> None:
    wire.create()
    wire.send(requests(samples, 20_000))
    with Process("edge.classifier", *wire.classifier, "--max-batch", "1") as classifier:
        wait_until(lambda: len(wire.predicted()) > 0, "a first prediction")
        assert classifier.terminate() == 0
    first = wire.answers()
    assert 0 < len(first) == len(set(first)) < 20_000
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: len(wire.predicted()) >= 20_000, "every prediction")
        assert classifier.end(signal.SIGINT) == 0
    assert sorted(map(int, wire.answers())) == list(range(20_000))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_every_app_ends_cleanly_while_it_waits(wire: Wire, number: int) -> None:
    wire.create()
    to = ["--bootstrap-servers", wire.servers]
    apps = [
        ("edge.query", *to, "--request-topic", wire.requests, "--interval", "60"),
        ("edge.consumer", *to, "--prediction-topic", wire.predictions),
        ("edge.counter", "consume", *to, "--topic", wire.predictions),
        ("edge.classifier", *wire.classifier),
    ]
    processes = [Process(*app) for app in apps]
    wait_until(lambda: "partitions assigned" in processes[3].log, "the classifier's partitions")
    wait_until(lambda: "partitions assigned" in processes[1].log, "the consumer's partitions")
    wait_until(lambda: "partitions assigned" in processes[2].log, "the counter's partitions")
    for process in processes:
        with process:
            assert process.end(number) == 0, process.log
            assert "Traceback" not in process.log


APPS = [
    ("edge.query",),
    ("edge.classifier", "--model", str(LENET)),
    ("edge.consumer",),
    ("edge.counter", "produce"),
    ("edge.counter", "consume"),
    ("edge.deadletter", "list"),
]


@pytest.mark.parametrize("app", APPS, ids=" ".join)
def test_an_absent_broker_is_waited_for_and_then_named(app: tuple[str, ...]) -> None:
    servers = f"localhost:{free_port()}"
    ended = run(*app, "--bootstrap-servers", servers, "--broker-wait", "0.5")
    assert ended.process.returncode == 69
    assert ended.log.count(f"waiting for a Kafka broker at {servers}") == 1
    assert "python -m localkafka" in ended.errors[-1]
    assert "Traceback" not in ended.log


def test_ctrl_c_ends_the_wait_for_a_broker() -> None:
    with Process("edge.consumer", "--bootstrap-servers", f"localhost:{free_port()}") as consumer:
        wait_until(lambda: "waiting for a Kafka broker" in consumer.log, "the line about waiting")
        assert consumer.end(signal.SIGINT) == 0
    assert "Traceback" not in consumer.log


def test_a_broker_that_comes_late_is_used(samples: Images) -> None:
    port = free_port()
    with Process("edge.consumer", "--bootstrap-servers", f"127.0.0.1:{port}", "--limit", "1") as consumer:
        wait_until(lambda: "waiting for a Kafka broker" in consumer.log, "the line about waiting")
        with (
            LocalKafka(port=port) as late,
            Process("edge.classifier", "--bootstrap-servers", late.bootstrap_servers, "--model", str(LENET)),
        ):
            query = run("edge.query", "--limit", "1", EDGE_BOOTSTRAP_SERVERS=late.bootstrap_servers)
            assert query.process.returncode == 0
            assert consumer.end() == 0
    assert consumer.lines[-1].startswith("1 predictions read")


def test_a_port_where_no_broker_listens_to_kafka_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        servers = f"127.0.0.1:{listener.getsockname()[1]}"
        ended = run("edge.consumer", "--bootstrap-servers", servers, "--broker-wait", "0")
    assert ended.process.returncode == 69
    assert servers in ended.errors[-1]
    assert "Traceback" not in ended.log
