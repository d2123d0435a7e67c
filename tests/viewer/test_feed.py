"""From the topics to the board, on a cluster in memory: what is shown, what is sampled, and that nothing breaks it."""

import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from edge.contract import Contract
from edge.errors import NotAuthorisedError
from edge.memory_client import MemoryClient, MemorySource
from edge.records import OnRevoked, Record
from tests.system.processes import wait_until
from tests.viewer.ends import ends
from tests.viewer.records import dead_letter, prediction, request
from viewer.board import Board
from viewer.feed import PINNED_PER_S, Choice, Feed, Topics

TOPICS = Topics("asked", "answered", "dead")


class PatientSource(MemorySource):
    """Waits a little for records, as a real one does."""

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        records = super().read(max_records, timeout_s)
        if not records:
            time.sleep(0.01)
        return records


class PatientClient(MemoryClient):
    """A cluster in memory whose sources wait."""

    def open_source(self, topic: str, group: str, on_revoked: OnRevoked) -> PatientSource:
        return PatientSource(self, topic, group, on_revoked)


class Show:
    """A feed that reads from memory."""

    def __init__(self, contract: Contract, per_second: float = 20.0) -> None:
        self.client, self.board, self.stop = PatientClient(), Board(), threading.Event()
        for topic in ("asked", "answered", "dead"):
            self.client.create_topic(topic, 1, {})
        self.feed = Feed(
            self.client, partial(ends, self.client), TOPICS, contract, Choice(per_second, 0.6), self.board, self.stop
        )

    def put(self, record: Record) -> None:
        self.client.append(record.partition.topic, record.value, record.key, record.headers)

    def told(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(event.data) for event in self.board.after(0) if event.name == name]

    def figure(self, name: str) -> Any:
        figures = self.told("figures")
        return figures[-1][name] if figures else None


@pytest.fixture
def show(contract: Contract) -> Iterator[Show]:
    show = Show(contract)
    show.feed.start()
    wait_until(lambda: len(show.feed._tails) == 3, "the readers")
    yield show
    show.stop.set()
    show.feed.join()
    assert show.feed.failure is None


def test_an_answer_is_shown_with_its_image_and_stages(show: Show, contract: Contract) -> None:
    asked = request(0, "one", bytes([7]) * 784, [("true-label", b"b")])
    show.put(asked)
    show.put(prediction(asked, contract))
    wait_until(lambda: len(show.told("prediction")) == 1, "the prediction")
    (shown,) = show.told("prediction")
    assert (shown["label"], shown["truth"], shown["right"], shown["device"]) == ("j", "b", False, "camera")
    assert shown["image"]["data"].startswith("BwcH")
    assert (shown["to_classifier"], shown["queue"], shown["infer"], shown["send"]) == (3.0, 0.5, 1.0, 0.5)
    assert (shown["total_ms"], shown["batch"]) == (5.0, 3)
    assert shown["to_viewer"] > 0
    wait_until(lambda: show.figure("total") == 1, "the count")


def test_a_dead_letter_is_shown_and_counted(show: Show) -> None:
    show.put(request(0, "one"))
    show.put(dead_letter(request(0, "one")))
    wait_until(lambda: show.figure("dead") == 1 and show.figure("waiting") == 0, "the count")
    (shown,) = show.told("dead")
    assert (shown["reason"], shown["origin"], shown["device"], shown["bytes"]) == (
        "it is no image",
        "asked-0-0",
        "camera",
        784,
    )


def test_of_many_a_sample_is_shown_and_all_are_counted(show: Show, contract: Contract) -> None:
    for n in range(3000):
        show.put(prediction(request(n, str(n)), contract, confidence=0.5 if n % 2 else 0.9))
    wait_until(lambda: show.figure("total") == 3000, "all of them")
    shown = show.told("prediction")
    assert len(shown) < 200
    assert sum(each["confidence"] < 0.6 for each in shown) >= PINNED_PER_S


def test_ones_own_answer_is_always_shown(show: Show, contract: Contract) -> None:
    show.feed.mine.add("own")
    for n in range(1000):
        show.put(prediction(request(n, "own" if n == 900 else str(n)), contract))
    wait_until(lambda: any(each["mine"] for each in show.told("prediction")), "one's own")
    assert [each["id"] for each in show.told("prediction") if each["mine"]] == ["own"]


HOSTILE = {
    "id": "",
    "class": 1,
    "label": "<b>",
    "confidence": 1e308,
    "model": "\uffff" * 10_000,
    "sha256": "x" * 10_000,
    "queue_ms": 1.7e308,
    "infer_ms": -1.7e308,
    "batch": 0,
}


def test_nothing_that_a_prediction_says_breaks_it(show: Show) -> None:
    for n in range(50):
        value = json.dumps({**HOSTILE, "id": f"{n}\x00\u2028", "label": f"{n}\n\u202e" * 100}).encode()
        times = [(name, b"9" * n) for name in ("created-ns", "received-ns", "sent-ns")]
        show.client.append("answered", value, bytes([255, n]), [*times, ("true-label", b"\xff" * n)])
    for broken in (None, b"", b"null", b"[" * 100_000, json.dumps({**HOSTILE, "id": "\ud800"}).encode()):
        show.client.append("answered", broken, None, [("created-ns", None)])
        show.client.append("asked", broken, None, [("request-id", b""), ("request-id", b"\xff")])
        show.client.append("dead", broken, b"\x00" * 10_000, [("__connect.errors.exception.message", b"\xff" * 10_000)])
    wait_until(lambda: show.figure("total") == 50 and show.figure("dead") == 5, "all of them")
    assert show.figure("unreadable") == 5
    assert all(event.data.isascii() for event in show.board.after(0))
    assert max(len(event.data) for event in show.board.after(0)) < 200_000


def test_what_was_there_before_is_shown_and_not_counted(contract: Contract) -> None:
    show = Show(contract, per_second=1.0)
    for n in range(5):
        show.put(request(n, str(n)))
        show.put(prediction(request(n, str(n)), contract))
    show.feed.start()
    wait_until(lambda: len(show.told("prediction")) == 5, "the last ones")
    wait_until(lambda: show.figure("total") == 0, "the figures")
    assert all(each["to_viewer"] is None for each in show.told("prediction"))
    show.stop.set()
    show.feed.join()


def test_a_fault_of_the_cluster_is_told(show: Show) -> None:
    show.client.fault = NotAuthorisedError("no such user")
    wait_until(lambda: show.figure("fault") == "no such user", "the fault")
    show.client.fault = None
    wait_until(lambda: show.figure("fault") is None, "its end")


def test_what_cannot_go_on_ends_the_viewer(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    show = Show(contract)
    error = NotAuthorisedError("this user needs READ")

    def refuse(topic: str, group: str, on_revoked: object) -> None:
        raise error

    monkeypatch.setattr(show.client, "open_source", refuse)
    show.feed.start()
    assert show.stop.wait(10)
    show.feed.join()
    assert show.feed.failure is error
