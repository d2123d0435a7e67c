"""The classifier's loop on the in-memory client with the real model; on a real broker it is in tests/system."""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge import service
from edge.codec import decode_prediction
from edge.delivery import AtLeastOnce
from edge.errors import BrokerUnavailableError, EdgeError, FencedError
from edge.hooks import Hooks, Served
from edge.images import Images
from edge.memory_client import MemoryClient, MemorySink, MemorySource
from edge.model import Model, load_model
from edge.records import Encoded, OnDone, Record
from edge.service import Service
from edge.transactions import ExactlyOnce
from tests.edge.loop import answer
from tests.paths import LENET


def classify(client: MemoryClient, model: Model) -> Service:
    served = Served(model)
    return answer(client, Hooks(lambda: served))


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


def failing_on(model: Model, monkeypatch: pytest.MonkeyPatch, fails: Callable[[npt.NDArray[Any]], bool]) -> None:
    honest: Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]] = model.infer

    def infer(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if fails(images):
            raise RuntimeError("indices element out of data bounds\nand a page more")
        return honest(images)

    monkeypatch.setattr(model, "infer", infer)


def test_an_image_on_which_the_model_fails_is_a_dead_letter_and_its_neighbours_are_answered(
    samples: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, model = MemoryClient(), load_model(LENET)
    for image in samples.image[:40]:
        client.append("in", image.tobytes())
    bad = samples.image[17].reshape(28, 28, 1)
    failing_on(model, monkeypatch, lambda images: any((image == bad).all() for image in images))
    classify(client, model)
    expected = load_model(LENET).infer(samples.image.reshape(-1, 28, 28, 1)).argmax(axis=1).tolist()
    found = {prediction.id: prediction.class_index for prediction in map(decode_prediction, client.topics["out"])}
    assert found == {f"in-0-{n}": expected[n] for n in range(40) if n != 17}
    (dead,) = client.topics["dead"]
    headers = dict(dead.headers)
    assert headers["__connect.errors.offset"] == b"17"
    said = headers["__connect.errors.exception.message"]
    assert said == b"the model fails on it (indices element out of data bounds)"
    assert list(client.committed.values()) == [40]


def test_a_model_that_fails_on_any_image_ends_the_loop_and_rejects_nothing(
    samples: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, model = MemoryClient(), load_model(LENET)
    client.append("in", samples.image[0].tobytes())
    failing_on(model, monkeypatch, lambda _: True)
    with pytest.raises(EdgeError, match=r"fails on any image.*indices element out of data bounds\)$") as raised:
        classify(client, model)
    assert raised.value.exit_code == 70
    assert client.topics.get("dead", []) == []
    assert not client.committed


def test_an_answer_of_another_shape_is_never_taken_for_somebody_elses(
    samples: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, model = MemoryClient(), load_model(LENET)
    honest: Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]] = model.infer
    monkeypatch.setattr(model, "infer", lambda images: honest(images)[: 1 if len(images) == 1 else -1])
    for image in samples.image[:20]:
        client.append("in", image.tobytes())
    classify(client, model)
    expected = honest(samples.image[:20].reshape(-1, 28, 28, 1)).argmax(axis=1).tolist()
    assert [decode_prediction(record).class_index for record in client.topics["out"]] == expected


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


class Beside:
    """A client with a backlog of three batches, and on which thread each was inferred."""

    def __init__(self, samples: Images, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client, self.model = MemoryClient(), load_model(LENET)
        self.threads: list[str] = []
        self.begun = threading.Semaphore(0)
        honest = self.model.infer

        def infer(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            self.threads.append(threading.current_thread().name)
            self.begun.release()
            return honest(images)

        monkeypatch.setattr(self.model, "infer", infer)
        for number, image in enumerate(samples.image[:48]):
            self.client.append("in", image.tobytes(), None, [("request-id", str(number).encode())])

    @property
    def answered(self) -> list[int]:
        return [int(decode_prediction(record).id) for record in self.client.topics["out"]]


@pytest.fixture
def beside(samples: Images, monkeypatch: pytest.MonkeyPatch) -> Beside:
    return Beside(samples, monkeypatch)


def test_while_there_is_a_backlog_a_batch_is_written_when_the_next_one_is_being_inferred(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all = MemorySink.write_all

    def note(sink: MemorySink, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        if not beside.answered:
            for _ in ("this one", "the next one"):
                assert beside.begun.acquire(timeout=10)
        write_all(sink, topic, batch, on_done)

    monkeypatch.setattr(MemorySink, "write_all", note)
    classify(beside.client, beside.model)
    assert beside.answered == list(range(48))
    assert [name.startswith("inference") for name in beside.threads] == [True, True, False]


def test_a_guarantee_that_waits_for_what_was_read_is_served_batch_by_batch(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AtLeastOnce, "overlaps", ExactlyOnce.overlaps)
    classify(beside.client, beside.model)
    assert beside.answered == list(range(48))
    assert beside.threads == ["MainThread"] * 3


def test_what_is_inferred_when_the_loop_ends_is_still_written(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    read = MemorySource.read

    def fenced(source: MemorySource, max_records: int, timeout_s: float) -> list[Record]:
        if source._position:
            raise FencedError("another process")
        return read(source, max_records, timeout_s)

    monkeypatch.setattr(MemorySource, "read", fenced)
    with pytest.raises(FencedError):
        classify(beside.client, beside.model)
    assert beside.answered == list(range(16))


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
