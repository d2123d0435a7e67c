"""Clients to be tested beside one another: in memory, kafka-python and confluent, each on topics of its own."""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from edge.confluent_client import ConfluentClient
from edge.kafka_client import KafkaClient
from edge.memory_client import MemoryClient
from edge.records import Client, Partition, Record, Source
from tests.system.processes import wait_until

MEMORY, KAFKA_PYTHON, CONFLUENT = "memory", "kafka-python", "confluent"
REAL = [pytest.param(name, marks=pytest.mark.kafka) for name in (KAFKA_PYTHON, CONFLUENT)]
ALL = [MEMORY, *REAL]
MAKERS: Mapping[str, Callable[..., Client]] = {KAFKA_PYTHON: KafkaClient, CONFLUENT: ConfluentClient}
TURN_S = 0.1


@dataclass
class Bench:
    """A client on topics of its own; what it opens is closed at the end."""

    client: Client
    topic: str = field(default_factory=lambda: f"clients-{uuid.uuid4().hex[:8]}")
    opened: list[Source] = field(default_factory=list)

    @property
    def partition(self) -> Partition:
        """The only one of the topic."""
        return Partition(self.topic, 0)

    def source(self, revoked: Mapping[Partition, int] | None = None, topic: str | None = None) -> Source:
        """A member of the group, which commits these offsets when partitions are revoked."""
        due = dict(revoked or {})

        def on_revoked(partitions: Collection[Partition]) -> Mapping[Partition, int]:
            return {partition: offset for partition, offset in due.items() if partition in partitions}

        source = self.client.open_source(topic or self.topic, self.topic, on_revoked)
        self.opened.append(source)
        return source

    def close(self, source: Source) -> None:
        """Let a member leave."""
        self.opened.remove(source)
        source.close()

    def write(self, *values: bytes, topic: str | None = None) -> None:
        """Write records, and wait until they are settled."""
        sink, settled = self.client.open_sink(), list[Exception | None]()
        for value in values:
            sink.write(topic or self.topic, value, b"key", [], settled.append)
        wait_until(lambda: len(settled) == len(values), "the acknowledgements")
        sink.close(1.0)
        assert set(settled) == {None}


def benches(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """What a fixture yields that is parametrised by the name of a client."""
    name = request.param
    client = MemoryClient() if name == MEMORY else MAKERS[name](request.getfixturevalue("kafka").bootstrap_servers)
    bench = Bench(client)
    client.create_topic(bench.topic, 1, {})
    yield bench
    for source in bench.opened:
        source.close()


every_client = pytest.mark.parametrize("bench", ALL, indirect=True)
real_clients = pytest.mark.parametrize("bench", REAL, indirect=True)


def read(source: Source, count: int, at_once: int = 100) -> list[Record]:
    """So many records at least, and what came with them."""
    records: list[Record] = []

    def has_all() -> bool:
        records.extend(source.read(at_once, TURN_S))
        return len(records) >= count

    wait_until(has_all, f"{count} records")
    return records


def values(records: Sequence[Record]) -> list[bytes | None]:
    """The values of records."""
    return [record.value for record in records]


def numbered(count: int) -> list[bytes]:
    """So many values that differ."""
    return [str(number).encode() for number in range(count)]
