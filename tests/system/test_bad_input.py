"""Bad input over a real Kafka: each bad record is a dead letter with its reason, and the classifier goes on."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer

from edge.images import Images
from edge.pubsub import connect
from edge.records import Headers
from tests.paths import LENET
from tests.system.processes import Process, run, wait_until
from tests.system.wire import Wire

NPY, JSON = ("content-type", b"application/x-npy"), ("content-type", b"application/json")


def bad_requests(good: bytes) -> dict[str, tuple[bytes | None, Headers]]:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((28, 28), np.float64))
    return {
        "bytes; an image of shape": (good[:-1], []),
        "does not begin as npy": (b"not npy", [NPY]),
        "is of dtype '<f8'": (buffer.getvalue(), [NPY]),
        "is not JSON": (b"{", [JSON]),
        "integers from 0 to 255": (json.dumps([[0.5] * 28] * 28).encode(), [JSON]),
        "is unknown": (good, [("content-type", b"image/png")]),
        "'request-id' is repeated": (good, [("request-id", b"a"), ("request-id", b"b")]),
        "no value": (None, []),
        "10,000,000 bytes": (bytes(10_000_000), []),
        "the key has": (good, [("x", b"y")]),
    }


@pytest.mark.kafka
def test_bad_records_among_good_ones(wire: Wire, samples: Images) -> None:
    good = samples.image[0].tobytes()
    bad = bad_requests(good)
    mixed: list[tuple[bytes | None, Headers]] = []
    for number, request in enumerate(bad.values()):
        mixed += [request, (good, [("request-id", f"good-{number}".encode())])]
    wire.create(max_message_bytes=15_000_000)
    long_key = 2 * list(bad).index("the key has")
    wire.send(mixed, key=lambda n: bytes(20_000) if n == long_key else b"device")
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: len(wire.answers()) >= len(bad), "the good records' predictions")
        wait_until(lambda: len(wire.dead()) >= len(bad), "the bad records' dead letters")
        assert classifier.terminate() == 0
    assert wire.answers() == [f"good-{number}" for number in range(len(bad))]
    dead = wire.dead()
    assert len(dead) == len(bad)
    assert "Traceback" not in classifier.log
    for number, (letter, (reason, (value, headers))) in enumerate(zip(dead, bad.items(), strict=True)):
        found = dict(letter.headers)
        assert reason in (found["__connect.errors.exception.message"] or b"").decode()
        assert found["__connect.errors.topic"] == wire.requests.encode()
        assert found["__connect.errors.offset"] == str(2 * number).encode()
        assert found["__connect.errors.exception.class.name"] == b"BadRequestError"
        assert list(letter.headers)[: len(headers)] == list(headers)
        if value is not None and len(value) > 900_000:
            assert letter.value == b""
            assert found["dead-letter-value-bytes"] == str(len(value)).encode()
            assert found["dead-letter-value-sha256"] == hashlib.sha256(value).hexdigest().encode()
        else:
            assert letter.value == value


@pytest.mark.kafka
def test_a_null_value_without_key_is_a_dead_letter(wire: Wire) -> None:
    wire.create()
    # kafka-python writes no record without key and value; librdkafka does.
    producer = Producer({"bootstrap.servers": wire.servers})
    producer.produce(wire.requests, None)
    assert producer.flush(30) == 0
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: len(wire.dead()) == 1, "the dead letter")
        assert classifier.terminate() == 0
    (letter,) = wire.dead()
    assert dict(letter.headers)["dead-letter-null-value"] == b"true"


@pytest.mark.kafka
def test_a_dead_letter_topic_that_takes_less_stops_the_classifier_with_advice(wire: Wire) -> None:
    wire.create(max_message_bytes=15_000_000)
    dead_letters = f"{wire.dead_letters}-small"
    with connect(wire.servers) as pubsub:
        pubsub.create_topic(dead_letters, 1, {"max.message.bytes": "10000"})
    wire.send([(bytes(100_000), [])])
    ended = run("edge.classifier", *wire.classifier, "--dead-letter-topic", dead_letters)
    assert ended.process.returncode == 78
    assert "larger than the broker or the topic allows" in ended.errors[-1]
    assert "Traceback" not in ended.log


MODELS = {
    "missing": (None, "there is no model file"),
    "truncated": (LENET.read_bytes()[:1000], "truncated"),
    "not ONNX": (b"GIF89a" * 100, "not an ONNX model"),
    "without a contract": (LENET.read_bytes().replace(b"contract", b"contrast"), "carries no contract"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_bad_model_ends_the_classifier_with_78_and_one_sentence(name: str, tmp_path: Path) -> None:
    data, reason = MODELS[name]
    path = tmp_path / "model.onnx"
    if data is not None:
        path.write_bytes(data)
    ended = run("edge.classifier", "--model", str(path))
    assert ended.process.returncode == 78
    assert ended.errors[-1].startswith("Error: ")
    assert reason in ended.errors[-1]
    assert len(ended.errors) == 1


def test_bad_images_end_the_query_app_with_65(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    np.savez(path, image=np.zeros((3, 28, 28)))
    ended = run("edge.query", "--images", str(path))
    assert ended.process.returncode == 65
    assert ended.errors == [
        f"Error: {path}: 'image' is float64 of shape (3, 28, 28); it must be uint8 of (count, height, width, …)"
    ]


@pytest.mark.parametrize("servers", ["localhost", "localhost:port", ":9092", "a:1,b", "localhost:99999"])
def test_bad_servers_are_a_usage_error(servers: str) -> None:
    ended = run("edge.consumer", "--bootstrap-servers", servers)
    assert ended.process.returncode == 2
    assert "is not host:port" in ended.log
