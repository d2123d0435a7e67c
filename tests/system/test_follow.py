"""One request is followed through three apps by its id, over a real Kafka."""

import json
from collections import defaultdict
from typing import Any

import pytest

from tests.system.processes import Process, run
from tests.system.wire import Wire

pytestmark = pytest.mark.kafka


def traced(process: Process) -> dict[str, list[dict[str, Any]]]:
    """The lines about requests, by id; every line has to be JSON."""
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in map(json.loads, process.errors):
        if "id" in line:
            lines[line["id"]].append(line)
    return lines


def test_a_prediction_is_followed_from_query_to_consumer_by_its_id(wire: Wire) -> None:
    said = {"EDGE_LOG_JSON": "1", "EDGE_VERBOSE": "1", "EDGE_BOOTSTRAP_SERVERS": wire.servers}
    with Process("edge.classifier", *wire.classifier, **said) as classifier:
        query = run(
            "edge.query", "--request-topic", wire.requests, "--interval", "0", "--limit", "3", "--traceparent", **said
        )
        consumer = run("edge.consumer", "--prediction-topic", wire.predictions, "--limit", "3", "--json", **said)
        assert classifier.terminate() == 0
    assert query.lines == ["3 images sent and acknowledged"]
    ids = [json.loads(line)["id"] for line in consumer.lines]
    apps = [traced(app) for app in (query, classifier, consumer)]
    assert [sorted(app) for app in apps] == [sorted(ids)] * 3
    for name in ids:
        (sent,), (answered,), (read,) = (app[name] for app in apps)
        words = [line["message"].split()[0] for line in (sent, answered, read)]
        assert words == ["sent", "answered", "read"]
        assert (sent["topic"], answered["topic"], read["topic"]) == (wire.requests, wire.requests, wire.predictions)
        assert sent["traceparent"].startswith(f"00-{name}-")
        assert sent["traceparent"] == answered["traceparent"] == read["traceparent"]
    assert json.loads(consumer.errors[-1])["message"].startswith("3 predictions read, accuracy ")
