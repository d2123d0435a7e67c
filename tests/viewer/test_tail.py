"""The newest records of a topic are read, each once, with no trace left in the cluster."""

import uuid
from functools import partial

import pytest

from edge.cluster import Cluster
from edge.memory_client import MemoryClient
from edge.pubsub import CLIENTS, connect
from edge.records import Record
from localkafka import LocalKafka
from tests.system.processes import wait_until
from tests.viewer.ends import ends
from viewer import tail
from viewer.tail import Tail, ends_of


def write(client: MemoryClient, count: int) -> None:
    for n in range(count):
        client.append("topic", str(n).encode())


def offsets(records: list[Record]) -> list[int]:
    return [record.offset for record in records]


def test_it_begins_with_the_last_few_and_tells_them_from_new_ones() -> None:
    client = MemoryClient()
    write(client, 1200)
    reader = Tail(client, partial(ends, client), "topic", 10)
    assert reader.read(0.0) == []
    old = reader.read(0.0)
    assert offsets(old) == list(range(1190, 1200))
    assert all(map(reader.is_old, old))
    write(client, 2)
    new = reader.read(0.0)
    assert offsets(new) == [1200, 1201]
    assert not any(map(reader.is_old, new))
    assert client.committed == {}


def test_of_a_topic_that_was_empty_all_is_new() -> None:
    client = MemoryClient()
    client.create_topic("topic", 1, {})
    reader = Tail(client, partial(ends, client), "topic", 10)
    assert reader.read(0.0) == []
    write(client, 300)
    new = reader.read(0.0)
    assert offsets(new) == list(range(300))
    assert not any(map(reader.is_old, new))


def test_what_comes_again_is_passed_over() -> None:
    client = MemoryClient()
    write(client, 30)
    reader = Tail(client, partial(ends, client), "topic", 10)
    reader.read(0.0)
    reader._source.rewind({client.topics["topic"][0].partition: 0})
    write(client, 1)
    assert offsets(reader.read(0.0)) == [30]


def test_a_log_that_begins_anew_is_read_anew() -> None:
    client = MemoryClient()
    write(client, 30)
    reader = Tail(client, partial(ends, client), "topic", 10)
    reader.read(0.0)
    partition = client.topics["topic"][0].partition
    client.topics["topic"].clear()
    write(client, 4)
    reader._source.rewind({partition: 0})
    assert offsets(reader.read(0.0)) == [0, 1, 2, 3]


def test_who_is_far_behind_goes_on_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MAX_BEHIND", 1000)
    client = MemoryClient()
    write(client, 20)
    reader = Tail(client, partial(ends, client), "topic", 10)
    reader.read(0.0)
    write(client, 3000)
    assert reader.read(0.0) == []
    assert offsets(reader.read(0.0)) == list(range(3010, 3020))
    assert reader.skipped == 2990


def read(reader: Tail, count: int) -> list[Record]:
    """Read until there are so many records, and no more."""
    records: list[Record] = []

    def is_complete() -> bool:
        records.extend(reader.read(0.5))
        return len(records) >= count

    wait_until(is_complete, f"{count} records")
    assert len(records) == count
    return records


@pytest.mark.kafka
@pytest.mark.parametrize("client", CLIENTS)
def test_over_a_real_kafka_it_reads_the_end_of_each_partition(kafka: LocalKafka, client: str) -> None:
    topic = f"tail-{uuid.uuid4().hex[:8]}"
    with connect(kafka.bootstrap_servers, client=client) as pubsub:
        pubsub.create_topic(topic, 2)
        for n in range(2000):
            pubsub.write(topic, str(n).encode(), str(n).encode())
        pubsub.flush()
        reader = Tail(pubsub.client, ends_of(Cluster(kafka.bootstrap_servers)), topic, 5)
        found = read(reader, 10)
        assert all(map(reader.is_old, found))
        pubsub.write(topic, b"new")
        pubsub.flush()
        new = read(reader, 1)
        assert [record.value for record in new] == [b"new"]
        assert not reader.is_old(new[0])
        reader.close()
