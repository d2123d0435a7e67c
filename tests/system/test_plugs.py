"""Options that plug into the loop, over a real Kafka: stale requests, and copies of unsure ones, in both deliveries."""

import json

import pytest
from confluent_kafka import Producer

from edge.codec import decode_prediction
from edge.images import Images
from edge.model import load_model
from tests.paths import LENET
from tests.recorder import read_all
from tests.system.processes import Process, run, wait_until
from tests.system.wire import Wire

pytestmark = pytest.mark.kafka

BELOW = 0.8


@pytest.mark.parametrize("delivery", [[], ["--delivery", "exactly-once", "--instance-id", "plugs"]])
def test_stale_requests_expire_and_unsure_ones_are_copied(wire: Wire, samples: Images, delivery: list[str]) -> None:
    wire.create()
    images = samples.image.reshape(-1, 28, 28, 1)
    unsure = load_model(LENET).infer(images).max(axis=1) < BELOW
    # kafka-python's own producer writes no null header.
    producer = Producer({"bootstrap.servers": wire.servers})
    for number, image in enumerate(samples.image):
        headers: list[tuple[str, str | bytes | None]] = [("request-id", str(number)), ("nothing", None)]
        # One in ten is of 1970, as from a device whose clock stands still; 0 stands for now.
        at_ms = 86_400_000 if number % 10 == 0 else 0
        producer.produce(wire.requests, image.tobytes(), b"camera", headers=headers, timestamp=at_ms)
    assert producer.flush(30) == 0
    up = f"{wire.requests}-up"
    options = ["--max-age", "3600", "--escalate-below", str(BELOW), "--escalate-topic", up, *delivery]
    replay = ["--bootstrap-servers", wire.servers, "--dead-letter-topic", wire.dead_letters, "--reason", "expired"]
    with Process("edge.classifier", *wire.classifier, *options) as classifier:
        wait_until(lambda: len(wire.committed()) == 180, "the predictions")
        wait_until(lambda: len(read_all(wire.servers, wire.dead_letters, committed=True)) == 20, "the dead letters")
        # A replay is written now: it has a new time, and is answered.
        assert run("edge.deadletter", "replay", *replay).lines == ["20 dead letters replayed and acknowledged"]
        wait_until(lambda: len(wire.committed()) == 200, "the replayed ones")
        assert classifier.terminate() == 0
    order = sorted(range(200), key=lambda number: (number % 10 == 0, number))
    expected = [number for number in order if unsure[number]]
    copies = read_all(wire.servers, up, committed=True)
    assert [int(dict(copy.headers)["request-id"] or b"") for copy in copies] == expected
    predictions = {prediction.id: prediction for prediction in map(decode_prediction, wire.predicted())}
    for number, copy in zip(expected, copies, strict=True):
        assert (copy.key, copy.value) == (b"camera", samples.image[number].tobytes())
        # A dead letter has made an empty header of one that is null.
        nothing = b"" if number % 10 == 0 else None
        assert list(copy.headers)[:2] == [("request-id", str(number).encode()), ("nothing", nothing)]
        name, first = copy.headers[-1]
        prediction = predictions[str(number)]
        assert name == "first-prediction"
        assert json.loads(first or b"")["confidence"] == prediction.confidence < BELOW
    dead = wire.dead()
    assert [dict(letter.headers)["request-id"] for letter in dead] == [str(n).encode() for n in range(0, 200, 10)]
    assert {dict(letter.headers)["__connect.errors.exception.class.name"] for letter in dead} == {b"ExpiredError"}
    told = f"200 predictions, 20 dead letters written, 20 of them expired, {len(expected)} requests escalated"
    assert told in classifier.errors[-1]
