"""The driver on a real Kafka, where requests are their own answers: nothing is lost, and nobody else's counts."""

import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Message

from bench.errors import AppError
from bench.load.driver import Driver, Topics
from bench.load.trace import Limit
from edge.cluster import Cluster
from edge.images import Images
from localkafka import LocalKafka
from tests.system.processes import run

pytestmark = pytest.mark.kafka


class Ended:
    """A process that is no longer there."""

    def check(self) -> None:
        raise AppError("it has ended")


@pytest.fixture
def topic(kafka: LocalKafka) -> str:
    name = f"loop-{uuid.uuid4().hex}"
    with Cluster(kafka.bootstrap_servers).connect() as pubsub:
        pubsub.create_topic(name, 2)
    return name


@pytest.fixture
def driver(kafka: LocalKafka, topic: str, samples: Images) -> Iterator[Driver]:
    driver = Driver(Cluster(kafka.bootstrap_servers), Topics(topic, topic), samples)
    driver.start()
    yield driver
    driver.close()


def test_each_request_is_sent_when_it_is_due_and_answered_once(driver: Driver) -> None:
    schedule = np.arange(0, 0.5, 0.001)
    trace = driver.run(schedule, 10)
    np.testing.assert_allclose(np.diff(trace.intended_s), np.diff(schedule))
    assert trace.answers.tolist() == [1] * 500
    assert (trace.sent_s >= trace.intended_s).all()
    assert (trace.received_s > trace.sent_s).all()
    assert not trace.is_cut
    again = driver.run(schedule[:3], 10)
    assert again.answers.tolist() == [1] * 3


def test_one_at_a_time_waits_for_each_answer(driver: Driver) -> None:
    trace = driver.run_single_stream(0.1, 20, 10)
    assert len(trace.answers) >= 20
    assert set(trace.answers) == {1}
    assert (trace.intended_s[1:] >= trace.received_s[:-1]).all()


def test_overload_ends_a_run_early_but_what_was_sent_is_received(driver: Driver) -> None:
    trace = driver.run(np.arange(0, 30, 0.002), 10, Limit(0.0, 20))
    assert trace.is_cut
    assert 20 < trace.is_sent.sum() < 5000
    assert trace.missing == 0


def test_a_stall_is_felt_by_every_request_that_was_due_in_it(kafka: LocalKafka, driver: Driver) -> None:
    def stall() -> None:
        kafka.pause()
        resume.wait(0.5)  # the stall itself
        kafka.resume()

    driver.run(np.zeros(1), 10)
    resume, staller = threading.Event(), threading.Timer(1.0, stall)
    staller.start()
    trace = driver.run(np.arange(0, 3, 0.005), 10)
    staller.join()
    waited_s = trace.received_s - trace.intended_s
    # A driver that waits for each answer would have sent one request into it, and seen one slow answer.
    assert (waited_s > 0.1).sum() > 60
    assert waited_s.max() > 0.4


def test_answers_may_carry_the_id_in_their_own_way(kafka: LocalKafka, topic: str, samples: Images) -> None:
    def encode(value: bytes, name: str) -> tuple[bytes, dict[str, Any]]:
        return json.dumps({"id": name, "size": len(value)}).encode(), {}

    def id_of(message: Message) -> str | None:
        return str(json.loads(message.value() or b"{}").get("id"))

    driver = Driver(Cluster(kafka.bootstrap_servers), Topics(topic, topic), samples, encode, id_of)
    driver.start()
    assert driver.run(np.zeros(5), 10).answers.tolist() == [1] * 5
    driver.close()


def test_who_does_not_answer_is_not_asked_on_and_on(kafka: LocalKafka, topic: str, samples: Images) -> None:
    with Cluster(kafka.bootstrap_servers).connect() as pubsub:
        pubsub.create_topic(f"{topic}-silent")
    driver = Driver(Cluster(kafka.bootstrap_servers), Topics(topic, f"{topic}-silent"), samples)
    driver.start()
    with pytest.raises(AppError, match="it has ended"):
        driver.warm_up(Ended(), 100, 1)
    trace = driver.run_single_stream(1, 10, 0.1)
    assert (len(trace.answers), trace.missing) == (1, 1)
    driver.close()


def test_the_loopback_says_what_the_driver_can_do(kafka: LocalKafka, tmp_path: Path) -> None:
    output = tmp_path / "loopback.json"
    options = ["--duration", "1", "--requests", "1000", "--output", str(output)]
    ended = run("bench.loopback", *options, "--bootstrap-servers", kafka.bootstrap_servers)
    assert ended.process.returncode == 0, ended.log
    found = json.loads(output.read_text())["results"]
    assert found["lost"] == 0
    assert found["most_sent_per_s"] >= found["most_received_per_s"] > 0
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["max"]
    assert "0 lost" in ended.lines[-2]


def test_a_topic_that_does_not_come_is_named(
    kafka: LocalKafka, samples: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.load.offsets.TIMEOUT_S", 0.5)
    driver = Driver(Cluster(kafka.bootstrap_servers), Topics("no-such-topic", "no-such-topic"), samples)
    with pytest.raises(AppError, match="'no-such-topic' cannot be looked at: "):
        driver.start()
    driver.close()
