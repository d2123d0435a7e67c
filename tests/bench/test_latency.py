"""`python -m bench.latency` over a real Kafka: every scenario, with real processes."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.latency.__main__ import SCENARIOS
from bench.latency.conditions import Conditions
from bench.options import MODEL
from bench.statistics import merged
from bench.systems import systems
from edge.classifier import AT_LEAST_ONCE
from edge.cluster import Cluster
from edge.images import Images
from localkafka import LocalKafka
from tests.system.processes import run

pytestmark = pytest.mark.kafka


def test_a_fixed_rate_is_answered_by_the_classifier_and_both_floors(kafka: LocalKafka, tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    options = ["--rate", "200", "--duration", "1", "--rounds", "1", "--warm-up", "0.1", "--output", str(output)]
    named = ["--delivery", "exactly-once", "--bootstrap-servers", kafka.bootstrap_servers, "--", "--max-batch", "8"]
    ended = run("bench.latency", *options, *named)
    assert ended.process.returncode == 0, ended.log
    report = json.loads(output.read_text())
    found = report["results"]["systems"]
    assert list(found) == ["classifier", "echo", "bare"]
    for each in found.values():
        assert each["sent"] == each["received"] > 100
        assert (each["lost"], each["duplicated"]) == (0, 0)
        assert len(each["rounds"]) == 1
        assert 0 < each["latency_ms"]["p50"] <= each["latency_ms"]["p90"] <= each["latency_ms"]["max"]
        assert merged([each["histogram"]]).total_count == each["received"]
    assert len({each["sent"] for each in found.values()}) == 1
    assert "p99" not in found["classifier"]["latency_ms"]
    assert found["classifier"]["staged"] == found["classifier"]["received"]
    assert found["classifier"]["stages_ms"]["inference"]["p50"] > found["echo"]["stages_ms"]["inference"]["p50"]
    assert found["bare"]["stages_ms"] == {}
    assert report["results"]["ratio_to_echo"]["p50"] > 0
    assert report["configuration"]["options"] == ["--max-batch", "8"]
    assert "p99 needs 662" in "\n".join(ended.lines)


def measure(kafka: LocalKafka, samples: Images, scenario: str, rate: float, bound_ms: float) -> tuple[Any, str]:
    """The classifier's result, without floors, and the whole one for people."""
    conditions = Conditions(rate, "poisson", 0.5, 0.1, 10, 100, bound_ms, 1000, 1, 0)
    how, show = SCENARIOS[scenario]
    results = how(Cluster(kafka.bootstrap_servers), systems(MODEL, AT_LEAST_ONCE, [], False), samples, conditions)
    assert results["ratio_to_echo"] == {}
    return results["systems"]["classifier"], show(results)


def test_one_request_at_a_time(kafka: LocalKafka, samples: Images) -> None:
    found, text = measure(kafka, samples, "single-stream", 100, 1)
    assert found["sent"] == found["received"] >= 64
    assert found["latency_ms"]["p90"] > 0
    assert found["sender_lag_ms"]["max"] == 0
    assert "sender's lag" not in text


def test_a_preloaded_topic_is_drained(kafka: LocalKafka, samples: Images) -> None:
    found, text = measure(kafka, samples, "offline", 100, 1)
    assert (found["requests"], found["answered"], found["lost"]) == (1000, 1000, 0)
    assert found["images_per_s"] > 0
    assert "classifier" in text


def test_the_highest_rate_keeps_the_bound(kafka: LocalKafka, samples: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.latency.server.MOST_RATE", 2000.0)
    found, text = measure(kafka, samples, "server", 2000, 5000)
    assert (found["rate_per_s"], found["failed_rate_per_s"]) == (2000, None)
    assert found["latency_ms"]["p99"] <= 5000
    assert merged([found["histogram"]]).total_count >= 662
    assert "2,000" in text
