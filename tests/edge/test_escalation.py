"""Unsure answers: what is copied for a larger model, that nothing is committed without it, and that nothing is lost."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edge.classifier import main
from edge.codec import decode_prediction
from edge.delivery import AtLeastOnce
from edge.errors import BrokerUnavailableError
from edge.escalation import FIRST_PREDICTION, Escalation
from edge.hooks import Hooks, Served, plugged
from edge.images import Images
from edge.memory_client import MemoryClient, MemorySink, MemorySource, MemoryTransactionalSink
from edge.model import load_model
from edge.records import Encoded, OnDone, Partition, Record
from edge.transactions import ExactlyOnce
from tests.edge.loop import answer, answered
from tests.paths import LENET

BELOW = 0.8
SERVED = Served(load_model(LENET))


def filled(samples: Images) -> MemoryClient:
    client = MemoryClient()
    for number, image in enumerate(samples.image):
        client.append("in", image.tobytes(), b"camera", [("request-id", str(number).encode()), ("note", b"\xff")])
    return client


def unsure(samples: Images) -> list[int]:
    confidences = SERVED.model.infer(samples.image.reshape(-1, 28, 28, 1)).max(axis=1)
    found = np.flatnonzero(confidences < BELOW).tolist()
    assert 10 < len(found) < 100
    return [int(number) for number in found]


def escalating() -> Hooks:
    return plugged(Hooks(lambda: SERVED), None, BELOW, "up", 900_000)[0]


def ids(records: Sequence[Record]) -> list[int]:
    return [int(dict(record.headers)["request-id"] or b"") for record in records]


@pytest.mark.parametrize("is_exactly_once", [False, True])
def test_unsure_requests_are_copied_as_they_were_with_what_was_predicted(
    samples: Images, is_exactly_once: bool
) -> None:
    client = filled(samples)
    hooks, (counted,) = plugged(Hooks(lambda: SERVED), None, BELOW, "up", 900_000)
    answer(client, hooks, is_exactly_once)
    expected = unsure(samples)
    assert ids(client.topics["up"]) == expected
    assert ids(client.topics["out"]) == list(range(200))
    assert counted.summary == f"{len(expected)} requests escalated"
    for number, copy in zip(expected, client.topics["up"], strict=True):
        request, prediction = client.topics["in"][number], decode_prediction(client.topics["out"][number])
        assert (copy.key, copy.value) == (request.key, request.value)
        assert list(copy.headers)[:-1] == list(request.headers)
        name, first = copy.headers[-1]
        assert name == FIRST_PREDICTION
        assert json.loads(first or b"") == {
            "class": prediction.class_index,
            "label": prediction.label,
            "confidence": prediction.confidence,
            "model": "lenet",
            "sha256": SERVED.model.sha256,
        }
    assert list(client.committed.values()) == [200]


def test_a_copy_of_a_request_without_an_id_has_the_id_of_its_first_prediction(samples: Images) -> None:
    client, number = MemoryClient(), unsure(samples)[0]
    client.append("in", samples.image[number].tobytes(), None, [("nothing", None)])
    answer(client, escalating())
    (copy,), (out,) = client.topics["up"], client.topics["out"]
    assert [name for name, _ in copy.headers] == ["nothing", "request-id", FIRST_PREDICTION]
    assert copy.headers[1][1] == b"in-0-0"
    assert copy.key is None
    assert decode_prediction(out).id == "in-0-0"


def test_a_copy_can_be_answered_and_escalated_once_more(samples: Images) -> None:
    client = filled(samples)
    answer(client, escalating())
    second = MemoryClient()
    for copy in client.topics["up"]:
        second.append("in", copy.value, copy.key, copy.headers)
    answer(second, escalating())
    assert ids(second.topics["up"]) == ids(client.topics["up"])
    names = [name for name, _ in second.topics["up"][0].headers]
    assert names == ["request-id", "note", FIRST_PREDICTION, FIRST_PREDICTION]


@pytest.mark.parametrize("is_exactly_once", [False, True])
@pytest.mark.parametrize("failing", [0, 1, 5, 9])
def test_a_copy_that_cannot_be_written_is_written_later_and_nothing_is_committed_before(
    samples: Images, failing: int, is_exactly_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, expected = filled(samples), unsure(samples)
    kind = MemoryTransactionalSink if is_exactly_once else MemorySink
    honest, commit_now = kind.write, MemorySource.commit_now
    count = 0

    def write(sink: Any, topic: str, *rest: Any) -> None:
        nonlocal count
        if topic == "up":
            if count == failing:
                client.failures.append(BrokerUnavailableError("gone"))
            count += 1
        honest(sink, topic, *rest)

    def check(offsets: Mapping[Partition, int]) -> None:
        for offset in offsets.values():
            assert {n for n in expected if n < offset} <= set(ids(client.topics["up"]))
            assert set(range(offset)) <= set(ids(client.topics["out"]))

    def commit(source: MemorySource, offsets: Mapping[Partition, int], timeout_s: float) -> None:
        check(offsets)
        commit_now(source, offsets, timeout_s)

    monkeypatch.setattr(kind, "write", write)
    monkeypatch.setattr(MemorySource, "commit_now", commit)
    answer(client, escalating(), is_exactly_once)
    assert client.sinks_opened == 2
    copied, predicted = ids(client.topics["up"]), ids(client.topics["out"])
    assert list(dict.fromkeys(copied)) == expected
    assert list(dict.fromkeys(predicted)) == list(range(200))
    if is_exactly_once:
        assert (copied, predicted) == (expected, list(range(200)))
    check(dict.fromkeys([Partition("in", 0)], 200))
    assert list(client.committed.values()) == [200]


class HoldingSink(MemorySink):
    """Acknowledges what goes to one topic only when told to."""

    def __init__(self, client: MemoryClient, held: str) -> None:
        super().__init__(client)
        self._held = held
        self.waiting: list[OnDone] = []

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        if topic == self._held:
            self.waiting.append(on_done)
        super().write_all(topic, batch, (lambda _: None) if topic == self._held else on_done)


@pytest.mark.parametrize("held", ["up", "out"])
def test_an_offset_is_committed_only_when_both_copy_and_prediction_are_acknowledged(samples: Images, held: str) -> None:
    client, number = MemoryClient(), unsure(samples)[0]
    client.append("in", samples.image[number].tobytes(), None, [("request-id", b"1")])
    sink = HoldingSink(client, held)
    delivery = AtLeastOnce(lambda: sink, commit_interval_s=0.0)
    with answered(client, escalating(), delivery):
        assert (len(client.topics["up"]), len(client.topics["out"])) == (1, 1)
        delivery.settle()
        assert client.committed == {}
        sink.waiting[0](None)
        delivery.settle()
        assert list(client.committed.values()) == [1]


def test_copy_and_prediction_are_seen_together_or_not_at_all(samples: Images) -> None:
    client, number = MemoryClient(), unsure(samples)[0]
    client.append("in", samples.image[number].tobytes(), None, [("request-id", b"1")])
    delivery = ExactlyOnce(lambda: client.open_transactional_sink("name"), commit_interval_s=3600.0)
    with answered(client, escalating(), delivery):
        assert (client.topics["up"], client.topics["out"], client.committed) == ([], [], {})
    assert (len(client.topics["up"]), len(client.topics["out"])) == (1, 1)
    assert list(client.committed.values()) == [1]


def test_a_copy_that_would_be_too_large_is_counted_and_told_once_and_the_request_answered(
    samples: Images, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    client, numbers = MemoryClient(), unsure(samples)[:3]
    for number, size in zip(numbers, (5000, 10, 5000), strict=True):
        client.append("in", samples.image[number].tobytes(), None, [("note", bytes(size))])
    escalation = Escalation(BELOW, "up", 4096)
    answer(client, Hooks(lambda: SERVED, emit=escalation.emit))
    assert [dict(copy.headers)["request-id"] for copy in client.topics["up"]] == [b"in-0-1"]
    assert len(client.topics["out"]) == 3
    assert escalation.summary == "1 requests escalated, 2 too large for that"
    assert [line.partition(", since")[0] for line in caplog.messages] == ["in-0 offset 0 is answered but not escalated"]


def test_what_is_no_prediction_is_not_escalated(samples: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    client, number = MemoryClient(), unsure(samples)[0]
    served = Served(load_model(LENET))
    monkeypatch.setattr(served.model, "infer", lambda images: np.full((len(images), 10), np.nan, np.float32))
    client.append("in", samples.image[number].tobytes())
    client.append("in", b"short")
    answer(client, plugged(Hooks(lambda: served), None, 1.0, "up", 900_000)[0])
    assert (len(client.topics["dead"]), client.topics["up"], client.topics["out"]) == (2, [], [])


def usage(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["--model", str(LENET), *options])
    return result.exit_code, result.output


@pytest.mark.parametrize("topic", ["prediction_request", "prediction_output", "prediction_dead_letter"])
def test_the_topic_must_be_one_of_its_own(topic: str) -> None:
    code, output = usage("--escalate-below", "0.6", "--escalate-topic", topic)
    assert (code, "the --escalate-topic must differ" in output) == (2, True)


def test_a_topic_alone_would_do_nothing_and_is_refused() -> None:
    code, output = usage("--escalate-topic", "up")
    assert (code, "--escalate-topic needs --escalate-below" in output) == (2, True)


@pytest.mark.parametrize("value", ["0", "1.01", "nan", "60%"])
def test_what_is_no_confidence_is_a_usage_error(value: str) -> None:
    assert usage("--escalate-below", value)[0] == 2
