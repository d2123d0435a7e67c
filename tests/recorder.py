"""Reads all that a topic holds, outside of any consumer group: what was really written, and nothing else."""

import kafka

from edge.records import Partition, Record


def read_all(bootstrap_servers: str, topic: str, committed: bool = False) -> list[Record]:
    """Every record of a topic from its first offset to its end as of now, partition by partition."""
    level = "read_committed" if committed else "read_uncommitted"
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False, isolation_level=level)
    try:
        partitions = [kafka.TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        records = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=1000).values():
                records += [
                    Record(Partition(r.topic, r.partition), r.offset, r.timestamp, r.key, r.value, r.headers)
                    for r in batch
                ]
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()
