"""The demo as a command, over a real Kafka."""

import pytest

from tests.system.processes import run

pytestmark = pytest.mark.kafka


def test_the_demo_starts_its_own_broker_and_loses_nothing() -> None:
    ended = run("bench.demo", "--count", "50", "--interval", "0.01")
    assert ended.process.returncode == 0, ended.log
    assert "50 predictions read, accuracy 0." in "\n".join(ended.lines)
    assert ended.lines[-1] == "50 requests through three processes and a real Kafka: 0 lost, 0 duplicated"
