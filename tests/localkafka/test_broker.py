"""The real broker: it is ready when it says so, keeps its data, and leaves nothing behind."""

import os
import signal
import time
from pathlib import Path

import kafka as kafka_python
import pytest

from localkafka import BadConfigurationError, BrokerError, LocalKafka
from tests.localkafka.command import command, end, processes_of, wait_until

DEADLINE_S = 60
TOPIC = "numbers"

pytestmark = pytest.mark.kafka


def produce(servers: str, *values: bytes) -> None:
    admin = kafka_python.KafkaAdminClient(bootstrap_servers=servers)
    if TOPIC not in admin.list_topics():
        admin.create_topics([kafka_python.admin.NewTopic(TOPIC, 1, 1)])
    admin.close()
    producer = kafka_python.KafkaProducer(bootstrap_servers=servers)
    try:
        for future in [producer.send(TOPIC, value) for value in values]:
            future.get(DEADLINE_S)
    finally:
        producer.close()


def consume(servers: str) -> list[bytes]:
    """All values of the topic, read in a consumer group: the broker's own topics must work too."""
    consumer = kafka_python.KafkaConsumer(
        TOPIC,
        bootstrap_servers=servers,
        group_id="readers",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    partition = kafka_python.TopicPartition(TOPIC, 0)
    last = consumer.end_offsets([partition])[partition]
    values: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(values) < last:
        assert time.monotonic() < deadline, "the records did not come in time"
        values += [record.value for records in consumer.poll(100).values() for record in records]
    consumer.close()
    return values


def test_sigterm_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    with command(tmp_path) as (process, servers):
        produce(servers, b"1", b"2")
        assert consume(servers) == [b"1", b"2"]
        assert len(processes_of(tmp_path)) == 2
        assert end(process, signal.SIGTERM) == 0
        assert processes_of(tmp_path) == []
        assert list(tmp_path.iterdir()) == []


def test_a_killed_command_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    with command(tmp_path) as (process, _):
        assert end(process, signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: processes_of(tmp_path) == [])
        assert list(tmp_path.iterdir()) == []


def test_a_data_directory_keeps_the_records_and_serves_one_broker(tmp_path: Path) -> None:
    data = tmp_path / "dätä with, comma"
    with command(tmp_path, "--data-dir", str(data)) as (process, servers):
        produce(servers, b"1", b"2")
        with pytest.raises(BadConfigurationError, match="in use by another localkafka"):
            LocalKafka(data_dir=data).start()
        assert end(process, signal.SIGINT) == 0
        assert processes_of(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [data.name]
    with LocalKafka(data_dir=data) as kafka:
        assert consume(kafka.bootstrap_servers) == [b"1", b"2"]


def test_a_killed_or_restarted_broker_keeps_its_port_and_records() -> None:
    with LocalKafka(low_latency=True, properties={"message.max.bytes": "2000"}) as kafka:
        servers, directory = kafka.bootstrap_servers, kafka.directory
        produce(servers, b"1")
        with pytest.raises(kafka_python.errors.MessageSizeTooLargeError):
            produce(servers, b"x" * 3000)
        kafka.kill()
        assert kafka.pid is None
        kafka.start()
        assert kafka.bootstrap_servers == servers
        assert consume(servers) == [b"1"]
        kafka.restart()
        assert consume(servers) == [b"1"]
        pid = kafka.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrokerError, match="stopped by itself"):
            kafka.wait()
    assert not directory.exists()
