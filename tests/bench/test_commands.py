"""The bench and the demo as commands, over a real Kafka."""

import json
from pathlib import Path

import pytest

from localkafka import LocalKafka
from tests.system.processes import run

pytestmark = pytest.mark.kafka


def test_latency_measures_a_classifier_process(kafka: LocalKafka, tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    options = ["--rate", "50", "--duration", "3", "--warm-up", "1", "--output", str(output)]
    ended = run("bench.latency", *options, "--bootstrap-servers", kafka.bootstrap_servers)
    assert ended.process.returncode == 0, ended.log
    report = json.loads(output.read_text())
    assert report["sent"] == report["received"] > 100
    assert (report["lost"], report["duplicated"]) == (0, 0)
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p90"] <= report["latency_ms"]["max"]
    assert "p99" not in report["latency_ms"]
    assert set(report["versions"]) == {"kafka-python", "confluent-kafka", "onnxruntime", "numpy"}
    assert "p99 needs 662" in "\n".join(ended.lines)


def test_the_demo_starts_its_own_broker_and_loses_nothing() -> None:
    ended = run("bench.demo", "--count", "50", "--interval", "0.01")
    assert ended.process.returncode == 0, ended.log
    assert "50 predictions read, accuracy 0." in "\n".join(ended.lines)
    assert ended.lines[-1] == "50 requests through three processes and a real Kafka: 0 lost, 0 duplicated"
