"""Reads all that topics hold, outside of any consumer group, on librdkafka: 50,000 records in a second."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from edge.records import Partition, Record

TIMEOUT_S = 30.0
_PASSING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._UNKNOWN_PARTITION)


class Recorder:
    """Follows all partitions of some topics from their first offset.

    read_committed: leave out what transactions have not committed, and all behind the first open one.
    """

    def __init__(self, bootstrap_servers: str, topics: Iterable[str], *, read_committed: bool = False) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "unused: assign() joins no group",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed" if read_committed else "read_uncommitted",
                "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        known = self._consumer.list_topics(timeout=TIMEOUT_S).topics
        self._partitions = [TopicPartition(topic, n, 0) for topic in topics for n in known[topic].partitions]
        self._ended: dict[Partition, int] = {}
        self._consumer.assign(self._partitions)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def read(self, timeout_s: float) -> list[Record]:
        """What is new, in the order of each partition."""
        records = []
        messages: list[Any] = self._consumer.consume(5000, timeout_s)
        for message in messages:
            if message.error() is None:
                records.append(_record(message))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                self._ended[Partition(message.topic(), message.partition())] = message.offset()
        return records

    def read_to_the_end(self, is_given_up: Callable[[], bool] = lambda: False) -> list[Record]:
        """All records up to the ends as of now, partition by partition."""
        ends = {Partition(p.topic, p.partition): self._end(p) for p in self._partitions}
        records: list[Record] = []
        while any(self._ended.get(partition, -1) < end for partition, end in ends.items()) and not is_given_up():
            records += self.read(0.1)
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def _end(self, partition: TopicPartition) -> int:
        """Its end offset; a partition that was just made or moved, or whose broker was stopped, is asked for again."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(partition, TIMEOUT_S)[1])
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def read_topic(bootstrap_servers: str, topic: str, *, read_committed: bool = False) -> list[Record]:
    """Every record of a topic, from offset 0 to its end as of now, partition by partition."""
    with Recorder(bootstrap_servers, [topic], read_committed=read_committed) as recorder:
        return recorder.read_to_the_end()


def _record(message: Any) -> Record:
    headers = [(name, value) for name, value in message.headers() or []]
    partition = Partition(message.topic(), message.partition())
    return Record(partition, message.offset(), message.timestamp()[1], message.key(), message.value(), headers)
