"""The real broker: it is ready when it says so, keeps its data, and leaves nothing behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import kafka as kafka_python
import pytest

from localkafka import KAFKA_VERSION, BadConfigurationError, BrokerError, LocalKafka

DEADLINE_S = 60
TOPIC = "numbers"

pytestmark = pytest.mark.kafka


@contextmanager
def command(directory: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`python -m localkafka` with its temporary files in `directory`, and the server that its ready line names."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "localkafka", "--port", "0", *options],
        cwd=root,
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], DEADLINE_S)[0], "no ready line"
            line = process.stdout.readline()
            assert line.startswith(f"Apache Kafka {KAFKA_VERSION} ready on localhost:")
            yield process, line.split()[-1]
        finally:
            process.kill()


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> int:
    """Send a signal and return the exit code; nothing but the ready line may have come on stdout."""
    process.send_signal(number)
    code = process.wait(DEADLINE_S)
    assert process.stdout is not None
    assert process.stdout.read() == ""
    return code


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


def processes_of(directory: Path) -> list[Path]:
    """The processes that work in, or were started for, a directory."""

    def belongs(process: Path) -> bool:
        try:
            here = str((process / "cwd").readlink()).startswith(str(directory))
            return here or str(directory).encode() in (process / "cmdline").read_bytes()
        except OSError:
            return False

    return [process for process in Path("/proc").glob("[0-9]*") if belongs(process)]


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
