"""Three nodes: a partition's leader may be killed, and nothing that was acknowledged is lost."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka
import kafka as kafka_python
import pytest

from localkafka import BadConfigurationError, LocalKafka
from tests.localkafka.command import processes_of, start, wait_until

DEADLINE_S = 60
TOPIC = "numbers"

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalKafka]:
    with LocalKafka(nodes=3) as kafka:
        admin = kafka_python.KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        admin.create_topics([kafka_python.admin.NewTopic(TOPIC, 1, -1)])
        admin.close()
        yield kafka


class Sender:
    """Sends numbers, with acks=all, once each, and remembers which were acknowledged."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.acknowledged: list[int] = []
        self._next = 0
        self._producer = confluent_kafka.Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "enable.idempotence": True, "log_level": 0}
        )

    def send_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "condition not met in time"
            self._producer.produce(TOPIC, str(self._next), on_delivery=self._delivered)
            self._next += 1
            self._producer.poll(0.005)

    def flush(self) -> None:
        assert self._producer.flush(DEADLINE_S) == 0
        assert len(self.acknowledged) == self._next

    def _delivered(self, error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
        assert error is None
        self.acknowledged.append(int(message.value() or ""))


def leader(kafka: LocalKafka) -> tuple[int, list[int]]:
    """The leader of the topic's partition, and the replicas in sync."""
    admin = kafka_python.KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    partition = admin.describe_topics([TOPIC])[0]["partitions"][0]
    admin.close()
    return partition["leader_id"], partition["isr_nodes"]


def numbers(kafka: LocalKafka) -> list[int]:
    consumer = kafka_python.KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest")
    partition = kafka_python.TopicPartition(TOPIC, 0)
    consumer.assign([partition])
    last = consumer.end_offsets([partition])[partition]
    found: list[int] = []
    while consumer.position(partition) < last:
        found += [int(record.value) for records in consumer.poll(100).values() for record in records]
    consumer.close()
    return found


def stopped(kafka: LocalKafka) -> set[int]:
    """The nodes that a signal has stopped."""
    return {node for node, pid in kafka.pids.items() if Path(f"/proc/{pid}/stat").read_text().split()[2] == "T"}


def test_the_leader_may_be_killed_and_comes_back(cluster: LocalKafka) -> None:
    sender = Sender(cluster)
    sender.send_until(lambda: len(sender.acknowledged) >= 100)
    sender.send_until(lambda: len(leader(cluster)[1]) == 3)
    killed, _ = leader(cluster)
    cluster.kill(killed)
    assert set(cluster.pids) == {1, 2, 3} - {killed}
    before = len(sender.acknowledged)
    sender.send_until(lambda: len(sender.acknowledged) >= before + 1000)
    assert leader(cluster)[0] not in (killed, -1)
    cluster.start(killed)
    sender.send_until(lambda: len(leader(cluster)[1]) == 3)
    sender.flush()
    assert numbers(cluster) == sender.acknowledged == sorted(sender.acknowledged)


def test_a_paused_node_answers_when_it_is_resumed(cluster: LocalKafka) -> None:
    paused, _ = leader(cluster)
    cluster.pause(paused)
    wait_until(lambda: stopped(cluster) == {paused})
    cluster.resume()
    wait_until(lambda: stopped(cluster) == set())
    assert leader(cluster)[0] > 0


def test_a_killed_command_leaves_none_of_its_nodes(tmp_path: Path) -> None:
    # In a directory that stays: without its files a broker ends by itself.
    with start(tmp_path, "--nodes", "3", "--data-dir", str(tmp_path / "data")) as process:
        wait_until(lambda: len(processes_of(tmp_path, "kafka.Kafka")) == 3)
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: processes_of(tmp_path) == [])


def test_what_cannot_be(cluster: LocalKafka, tmp_path: Path) -> None:
    with pytest.raises(BadConfigurationError, match="no node 4: they are numbered from 1 to 3"):
        cluster.kill(4)
    with pytest.raises(BadConfigurationError, match="several nodes have no tls or sasl"):
        LocalKafka(nodes=3, tls=True)
    with pytest.raises(BadConfigurationError, match="users need tls or sasl"):
        LocalKafka(users={"edge": "secret"})
