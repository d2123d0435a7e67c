"""The comparison: our own systems over a real Kafka, and what rounds come to."""

import sys
from dataclasses import replace
from typing import Any

import click
import numpy as np
import pytest

from bench.errors import AppError
from bench.load.schedule import poisson
from bench.peers.__main__ import check_names
from bench.peers.bars import Bar
from bench.peers.environments import UnavailableError
from bench.peers.measure import Bench, Latency, drained, latency, size_of_drain
from bench.peers.rounds import Findings, Plan, install, measure, order
from bench.peers.summary import results
from bench.peers.systems import OURS, PEERS, SYSTEMS, System
from bench.peers.table import markdown, short, verdicts
from edge.cluster import Cluster
from edge.images import Images
from edge.model import load_model
from localkafka import LocalKafka
from tests.paths import ROOT

MODEL = ROOT / "samples" / "lenet.onnx"


@pytest.fixture
def bench(kafka: LocalKafka, samples: Images) -> Bench:
    return Bench(Cluster(kafka.bootstrap_servers), samples, MODEL)


@pytest.fixture
def bench_without_broker(samples: Images) -> Bench:
    return Bench(Cluster("localhost:9"), samples, MODEL)


def named(name: str) -> System:
    return next(system for system in SYSTEMS if system.name == name)


@pytest.mark.kafka
def test_our_classifier_is_measured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    system = named("ours-kafka-python")
    found = latency(bench, system, poisson(100, 1.5, 1), 0.5)
    assert found.sent == len(found.latency_ms) > 100
    assert (found.lost, found.duplicated) == (0, 0)
    assert (found.latency_ms > 0).all()
    monkeypatch.setattr("bench.peers.measure.CALIBRATION_S", 0.5)
    monkeypatch.setattr("bench.peers.measure.BACKLOG", 10_000)
    assert 1_000 <= size_of_drain(bench, system, 2.0, 30.0) <= 100_000
    result, cost = drained(bench, system, 10_000, 30.0)
    assert (result.requests, result.answered, result.duplicated) == (10_000, 10_000, 0)
    assert result.images_per_s > 100
    assert 0 < cost.cpu_s_per_1000 < 10
    assert cost.rss_bytes > 30e6


@pytest.mark.kafka
def test_a_system_that_must_not_have_a_backlog_is_fed_to_the_end(bench: Bench) -> None:
    fed, _ = drained(bench, replace(named("echo-kafka-python"), in_flight=200), 1_050, 30.0)
    assert (fed.requests, fed.answered, fed.duplicated) == (1_050, 1_050, 0)


@pytest.mark.kafka
def test_a_system_that_ends_by_itself_is_told_with_its_last_words(bench: Bench) -> None:
    words = "import sys; print('no such option'); sys.exit(3)"
    broken = replace(named("quix"), install=lambda: sys.executable, command=lambda python, _: [python, "-c", words])
    with pytest.raises(AppError, match=r"Quix Streams 3.28 ended by itself with exit code 3.*\n  no such option"):
        latency(bench, broken, poisson(100, 1, 1), 0.0)


def test_a_system_that_fails_is_left_out_from_then_on_and_the_others_are_measured(
    bench_without_broker: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def measured(_: Bench, system: System, schedule_s: Any, __: float) -> Latency:
        attempts.append(system.name)
        if system.name == "quix":
            raise AppError("it has ended")
        return Latency(len(schedule_s), 0, 0, np.ones(len(schedule_s)), np.zeros(len(schedule_s)))

    def unavailable() -> str:
        raise UnavailableError("it cannot be had")

    monkeypatch.setattr("bench.peers.rounds.latency", measured)
    quix = replace(named("quix"), install=lambda: sys.executable)
    mlserver = replace(named("mlserver"), install=unavailable)
    findings = Findings()
    able = install([named("ours-kafka-python"), quix, mlserver], findings)
    measure(bench_without_broker, able, Plan(3, 100, 1, True, False), findings, load_model(MODEL), 64)
    assert findings.missing == {"mlserver": "it cannot be had", "quix": "it has ended"}
    assert sorted(attempts) == ["ours-kafka-python"] * 3 + ["quix"]
    assert [(row["system"], row["round"], row["sent"]) for row in findings.rows] == [
        ("ours-kafka-python", number, 100) for number in range(3)
    ]


def test_the_order_is_of_chance_but_the_same_for_the_same_seed() -> None:
    orders = [[system.name for system in order(PEERS, number, 7)] for number in range(6)]
    assert orders == [[system.name for system in order(PEERS, number, 7)] for number in range(6)]
    assert len({tuple(names) for names in orders}) > 1
    assert all(sorted(names) == sorted(system.name for system in PEERS) for names in orders)


def test_names_of_systems_are_checked() -> None:
    context, parameter = click.Context(click.Command("peers")), click.Option(["--systems"])
    assert [system.name for system in check_names(context, parameter, "quix,ours-kafka-python")] == [
        "ours-kafka-python",
        "quix",
    ]
    assert check_names(context, parameter, None) == SYSTEMS
    with pytest.raises(click.BadParameter, match="'quixx' is none of ours-kafka-python, "):
        check_names(context, parameter, "quixx")


def row(number: int, system: str, p50: float, rate: float) -> list[dict[str, Any]]:
    samples = np.full(300, p50)
    timed = {"sent": 301, "lost": 1, "duplicated": 0, "latency_ms": {"p50": p50, "p90": p50}, "samples_ms": samples}
    drain = {"images_per_s": rate, "cpu_s_per_1000": 0.125, "rss_bytes": 100_000_000, "lost": 0, "duplicated": 2}
    return [
        {"round": number, "system": system, "measurement": "latency", **timed},
        {"round": number, "system": system, "measurement": "drain", **drain},
    ]


def test_the_table_has_medians_spreads_and_ratios_and_pools_the_requests() -> None:
    names = ("ours-kafka-python", "echo-kafka-python", "quix", "kafka-streams", "quix-linger")
    chosen = [named(name) for name in names]
    findings = Findings(missing={"kafka-streams": "no registry"})
    for number, speed in enumerate((1.0, 0.5, 2.0)):
        findings.rows += row(number, "ours-kafka-python", 2.0, 9_000 * speed)
        findings.rows += row(number, "echo-kafka-python", 2.0, 10_000 * speed)
        findings.rows += row(number, "quix", 2.0 + number, 5_000 * speed)
        findings.rows += row(number, "quix-linger", 9.0, 10_000 * speed)
        findings.ceilings.append({"round": number, "batch": 64, "images_per_s": 30_000.0, "cpu_s_per_1000": 0.03})
    found = results(chosen, findings)
    text = markdown(found)
    assert (
        "| Quix Streams 3.28 | 3.0 (2.0 to 4.0) | 4.0 | 5,000 (2,500 to 10,000) | 0.125 | 100 | 3 / 6 | 1.8 (kafka"
        in text
    )
    assert "| Kafka Streams 4.1 + onnxruntime-java | missing |" in text
    assert "was not measured to the end: no registry" in text
    assert "| onnxruntime alone, 64 images at once | | | 30,000 | 0.030 |" in text
    brief = short(found).splitlines()
    assert brief[3] == "| Quix Streams 3.28 | 3.0 | 4.0 | 5,000 | 100 |"
    assert brief[4] == "| Kafka Streams 4.1 + onnxruntime-java | - | - | - | - |"
    assert "echo" not in short(found)
    quix = found["systems"][2]
    assert quix["latency_requests"] == 903
    assert quix["pooled_ms"]["p99"] == pytest.approx(4.0, rel=0.01)
    assert all("samples_ms" not in run for run in found["runs"])
    told = verdicts(found["bars"]).splitlines()
    ours, echo = "edge.classifier, kafka-python", "our echo, kafka-python"
    assert told == [
        f"NOT MET   0.90 images/s: {ours} ÷ Quix Streams 3.28, linger, the fastest of all peers (at least 1.5, aim 2)",
        f"met       1.80 images/s: {ours} ÷ Quix Streams 3.28, the fastest of those set up for latency (at least 1.5, "
        "aim 2)",
        f"met       0.90 images/s: {ours} ÷ {echo} (at least 0.8)",
        f"met       1.00 p50: {ours} ÷ {echo} (at most 1.15)",
        f"not measured   p50: {ours} ÷ Kafka Streams 4.1 + onnxruntime-java (at most 1)",
        f"not measured   p99: {ours} ÷ Kafka Streams 4.1 + onnxruntime-java (at most 1)",
    ]


def test_a_bar_says_plainly_that_it_is_not_met() -> None:
    assert not Bar("rate", 1.4, 1.5).met
    assert Bar("rate", 1.5, 1.5).met
    assert not Bar("p50", 1.2, 1.15, is_limit=True).met
    assert Bar("p50", None, 1.15).met is None
    assert verdicts([vars(Bar("rate", 1.4, 1.5, 2.0))]) == "NOT MET   1.40 rate (at least 1.5, aim 2)"
    assert verdicts([vars(Bar("p50", 1.2, 1.15, is_limit=True))]) == "NOT MET   1.20 p50 (at most 1.15)"


def test_all_systems_have_names_of_their_own() -> None:
    names = [system.name for system in SYSTEMS]
    assert len(set(names)) == len(names)
    assert names[0] == f"{OURS}-kafka-python"
