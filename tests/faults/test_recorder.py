"""The recorder reads everything, and of transactions only what was committed where that is asked for."""

import uuid

import pytest
from confluent_kafka import Producer

from edge.pubsub import connect
from localkafka import LocalKafka
from tests.faults.recorder import Recorder, read_topic
from tests.system.processes import wait_until

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic(kafka: LocalKafka) -> str:
    name = f"recorded-{uuid.uuid4().hex[:8]}"
    with connect(kafka.bootstrap_servers) as pubsub:
        pubsub.create_topic(name, 3)
    return name


def test_all_partitions_are_read_from_the_first_offset_to_the_end(kafka: LocalKafka, topic: str) -> None:
    assert read_topic(kafka.bootstrap_servers, topic) == []
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(3000):
        producer.produce(topic, str(number), partition=number % 3, headers=[("n", str(number).encode())])
    producer.flush()
    records = read_topic(kafka.bootstrap_servers, topic)
    assert [(r.partition.number, r.offset) for r in records] == [(p, o) for p in range(3) for o in range(1000)]
    assert sorted(int(record.value or b"") for record in records) == list(range(3000))
    assert records[0].headers == [("n", b"0")]


def test_what_was_not_committed_is_read_only_uncommitted(kafka: LocalKafka, topic: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    for name, end in (("a", producer.commit_transaction), ("b", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, name, partition=0)
        producer.flush()
        end(30)
    producer.begin_transaction()
    producer.produce(topic, "open", partition=0)
    producer.flush()
    values = {
        committed: [r.value for r in read_topic(kafka.bootstrap_servers, topic, read_committed=committed)]
        for committed in (False, True)
    }
    assert values == {False: [b"a", b"b", b"open"], True: [b"a"]}
    with Recorder(kafka.bootstrap_servers, [topic], read_committed=True) as follower:
        assert [record.value for record in follower.read_to_the_end()] == [b"a"]
        producer.commit_transaction(30)
        # The producer has its answer before the partition knows of the end.
        followed: list[bytes | None] = []

        def follows() -> bool:
            followed.extend(record.value for record in follower.read_to_the_end())
            return bool(followed)

        wait_until(follows, "the last")
        assert followed == [b"open"]
