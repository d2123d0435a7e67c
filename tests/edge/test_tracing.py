"""Requests are followed by their id, with all that belongs to them, and only when that is asked for."""

import logging
import re

import pytest

from edge import tracing
from edge.codec import decode_prediction
from edge.hooks import Hooks, Observer, Served
from edge.images import Images
from edge.memory_client import MemoryClient
from edge.model import load_model
from edge.records import Headers
from edge.sensed import Sensed
from edge.traced import traced
from tests.edge.loop import answer
from tests.paths import LENET

IMAGE = Sensed("0123456789abcdef" * 2, 1, b"camera", b"pixels")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CLOUD_EVENT: list[tuple[str, bytes | None]] = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"image"),
    ("ce_source", "/kamera/ä".encode()),
    ("ce_id", b"\xff\x00"),
]


def classify(client: MemoryClient, observer: Observer) -> None:
    served = Served(load_model(LENET))
    answer(client, Hooks(lambda: served, observer=observer))


def requested(samples: Images, headers: Headers = ()) -> MemoryClient:
    """One good request, and one that is cut short."""
    client = MemoryClient()
    image = samples.image[0].tobytes()
    client.append("in", image, b"camera", [("request-id", b"good\x1b"), *headers])
    client.append("in", image[:-1], b"camera", [("request-id", b"bad"), *headers])
    return client


def test_trace_context_and_cloud_event_go_from_request_to_prediction_and_dead_letter(samples: Images) -> None:
    headers = [*CLOUD_EVENT, ("traceparent", TRACEPARENT.encode()), ("ce", b"no"), ("tracestate", b"no")]
    client = requested(samples, headers)
    classify(client, Observer())
    (answer,), (letter,) = client.topics["out"], client.topics["dead"]
    copied = [pair for pair in answer.headers if pair[0].startswith(("ce", "trace"))]
    assert copied == [*CLOUD_EVENT, ("traceparent", TRACEPARENT.encode())]
    assert list(letter.headers[: len(headers) + 1]) == [("request-id", b"bad"), *headers]


def test_a_line_for_each_request_says_what_became_of_it(samples: Images, caplog: pytest.LogCaptureFixture) -> None:
    client = requested(samples, [("traceparent", TRACEPARENT.encode())])
    told: list[str] = []

    class Other(Observer):
        def rejected(self, *_: object) -> None:
            told.append("rejected")

        def answered(self, *_: object) -> None:
            told.append("answered")

        def turned(self) -> None:
            told.append("turned")

    with caplog.at_level(logging.DEBUG, "edge.tracing"):
        classify(client, traced(Other()))
        (prediction,) = client.topics["out"]
        tracing.read(decode_prediction(prediction).id, prediction)
    lines = [record for record in caplog.records if record.name == "edge.tracing"]
    rejected, answered, read = lines
    number = decode_prediction(prediction).class_index
    assert rejected.getMessage().startswith("rejected bad: the value has 783 bytes")
    assert answered.getMessage().startswith(f"answered good\N{REPLACEMENT CHARACTER}: class {number}, ")
    assert read.getMessage() == "read good\N{REPLACEMENT CHARACTER}"
    places = [[vars(line)[name] for name in ("id", "topic", "partition", "offset", "traceparent")] for line in lines]
    assert places == [
        ["bad", "in", 0, 1, TRACEPARENT],
        ["good\x1b", "in", 0, 0, TRACEPARENT],
        ["good\x1b", "out", 0, 0, TRACEPARENT],
    ]
    # Whoever observed before does so still.
    assert told[:3] == ["rejected", "answered", "turned"]


def test_without_debug_the_loop_has_no_observer_of_ours(samples: Images, caplog: pytest.LogCaptureFixture) -> None:
    observer = Observer()
    with caplog.at_level(logging.INFO, "edge"):
        assert traced(observer) is observer
        tracing.request(IMAGE, "in", False)
        tracing.read("a", requested(samples).topics["in"][0])
    assert [record for record in caplog.records if record.name == "edge.tracing"] == []


@pytest.mark.parametrize("with_trace", [False, True])
def test_a_request_begins_a_trace_only_when_asked_to(with_trace: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "edge.tracing"):
        encoded = tracing.request(IMAGE, "in", with_trace)
    headers = {name: (value or b"").decode() for name, value in encoded.headers}
    (line,) = caplog.records
    assert line.getMessage() == f"sent {headers['request-id']}"
    assert vars(line)["topic"] == "in"
    if not with_trace:
        assert "traceparent" not in headers
        return
    version, trace_id, parent_id, flags = headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", headers["request-id"], "01")
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert re.fullmatch("[0-9a-f]{16}", parent_id)
    assert vars(line)["traceparent"] == headers["traceparent"]
