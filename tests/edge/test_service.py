"""The classifier's loop on the in-memory client with the real model; on a real broker it is in tests/system."""

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge import service
from edge.codec import decode_prediction
from edge.delivery import AtLeastOnce, Delivery
from edge.errors import BrokerUnavailableError
from edge.images import Images
from edge.memory_client import MemoryClient, MemorySource
from edge.model import Model, load_model
from edge.records import Record
from edge.service import Options, Service
from tests.paths import LENET

OPTIONS = Options("out", "dead", max_batch=16)


class ReadUntilEmpty:
    """The in-memory source, which tells the loop to stop when there is nothing more to read."""

    def __init__(self, source: MemorySource, delivery: Delivery, stop: threading.Event) -> None:
        self._source, self._delivery, self._stop = source, delivery, stop

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        records = self._source.read(max_records, timeout_s)
        if not records and not self._delivery.is_full:
            self._stop.set()
        return records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def classify(client: MemoryClient, model: Model) -> Service:
    stop = threading.Event()
    delivery = AtLeastOnce(client.open_sink, commit_interval_s=0.0)
    source = ReadUntilEmpty(client.open_source("in", "group", delivery.on_revoked), delivery, stop)
    delivery.attach(source)
    service = Service(source, delivery, model, OPTIONS)
    service.run(stop)
    assert delivery.drain(1.0) == 0
    source.close()
    return service


def test_every_request_is_answered_in_order_whatever_the_batch(samples: Images) -> None:
    client, model = MemoryClient(), load_model(LENET)
    for number, image in enumerate(samples.image):
        client.append("in", image.tobytes(), b"camera", [("request-id", str(number).encode())])
    service = classify(client, model)
    expected = model.infer(samples.image.reshape(-1, 28, 28, 1))
    predictions = [decode_prediction(record) for record in client.topics["out"]]
    assert [p.id for p in predictions] == [str(n) for n in range(200)]
    assert [p.class_index for p in predictions] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose([p.confidence for p in predictions], expected.max(axis=1), atol=2e-6)
    assert {p.sha256 for p in predictions} == {model.sha256}
    assert [p.batch for p in predictions[:16]] == [16] * 16
    assert {record.key for record in client.topics["out"]} == {b"camera"}
    assert service.counts.predictions == 200
    assert client.topics["dead"] == []


def test_bad_records_go_to_dead_letters_and_the_good_ones_behind_them_are_answered(samples: Images) -> None:
    client = MemoryClient()
    good = samples.image[0].tobytes()
    for value in (good, None, b"short", good, bytes(10_000_000), good):
        client.append("in", value)
    service = classify(client, load_model(LENET))
    assert [decode_prediction(record).id for record in client.topics["out"]] == ["in-0-0", "in-0-3", "in-0-5"]
    offsets = [dict(record.headers)["__connect.errors.offset"] for record in client.topics["dead"]]
    assert offsets == [b"1", b"2", b"4"]
    assert (service.counts.predictions, service.counts.dead_letters) == (3, 3)
    assert list(client.committed.values()) == [6]


def test_an_output_that_is_not_finite_is_a_dead_letter(samples: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    client, model = MemoryClient(), load_model(LENET)
    honest: Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]] = model.infer

    def infer(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        probabilities = honest(images)
        probabilities[1] = np.nan
        return probabilities

    monkeypatch.setattr(model, "infer", infer)
    for image in samples.image[:3]:
        client.append("in", image.tobytes())
    classify(client, model)
    assert [json.loads(record.value or b"")["id"] for record in client.topics["out"]] == ["in-0-0", "in-0-2"]
    (dead,) = client.topics["dead"]
    assert dict(dead.headers)["__connect.errors.exception.message"] == b"the model's output is not finite"


@pytest.mark.parametrize("failing", [0, 1, 17, 150])
def test_writes_that_fail_lose_nothing_and_keep_the_order(
    samples: Images, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MemoryClient()
    for number, image in enumerate(samples.image):
        client.append("in", image.tobytes(), b"camera", [("request-id", str(number).encode())])
    append = client.append

    def fail_once(topic: str, *rest: Any) -> Record:
        if topic == "out" and len(client.topics["out"]) == failing and client.sinks_opened == 1:
            client.failures.append(BrokerUnavailableError("gone"))
        return append(topic, *rest)

    monkeypatch.setattr(client, "append", fail_once)
    if failing == 0:
        client.failures.append(BrokerUnavailableError("gone"))
    classify(client, load_model(LENET))
    ids = [int(decode_prediction(record).id) for record in client.topics["out"]]
    assert list(dict.fromkeys(ids)) == list(range(200))
    assert client.sinks_opened == 2


@pytest.mark.parametrize(("turn_s", "limits"), [(0.0, {16, 1}), (3600.0, {16})])
def test_no_more_is_read_than_can_be_answered_in_one_turn(
    samples: Images, turn_s: float, limits: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = MemorySource.read

    def note(source: MemorySource, max_records: int, timeout_s: float) -> list[Record]:
        asked.append(max_records)
        return read(source, max_records, timeout_s)

    monkeypatch.setattr(service, "TURN_S", turn_s)
    monkeypatch.setattr(MemorySource, "read", note)
    client = MemoryClient()
    for image in samples.image[:40]:
        client.append("in", image.tobytes())
    classify(client, load_model(LENET))
    assert len(client.topics["out"]) == 40
    assert asked[0] == 16
    assert set(asked) == limits
