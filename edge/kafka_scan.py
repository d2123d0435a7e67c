"""Reads what a topic holds as of now with kafka-python, outside of any consumer group."""

import threading
import time
from collections.abc import Generator, Mapping
from typing import Any

import kafka
import kafka.errors

from edge.errors import BrokerUnavailableError, ConfigurationError
from edge.kafka_errors import translate
from edge.kafka_records import tolerate
from edge.records import Partition, Record

STALLED_S = 30.0
"""A scan that has not come on for so long has failed."""
_POLL_MS = 500


def scan(consumer: Any, topic: str, starts: Mapping[Partition, int] | None, stop: threading.Event) -> Generator[Record]:
    """The records from the given offsets, or from the first ones, to the ends as of now; closes the consumer."""
    try:
        tolerate(consumer)
        ends = _seek(consumer, topic, starts)
        moved = time.monotonic()
        while not stop.is_set() and any(consumer.position(tp) < end for tp, end in ends.items()):
            polled = consumer.poll(timeout_ms=_POLL_MS)
            for tp, records in polled.items():
                yield from (record for record in records if record.offset < ends[tp])
            if polled:
                moved = time.monotonic()
            elif time.monotonic() - moved > STALLED_S:
                raise BrokerUnavailableError(f"reading {topic!r}: nothing came for {STALLED_S:.0f} s")
    except kafka.errors.KafkaError as error:
        raise translate(error, f"reading {topic!r}") from error
    finally:
        consumer.close(autocommit=False)


def _seek(consumer: Any, topic: str, starts: Mapping[Partition, int] | None) -> dict[Any, int]:
    """Go to where reading starts; returns where it ends."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise ConfigurationError(f"there is no topic {topic!r} here, or none that you may see: check its name")
    wanted = [
        kafka.TopicPartition(topic, n) for n in sorted(numbers) if starts is None or Partition(topic, n) in starts
    ]
    consumer.assign(wanted)
    for tp, first in consumer.beginning_offsets(wanted).items():
        consumer.seek(tp, first if starts is None else max(first, starts[Partition(*tp)]))
    ends: dict[Any, int] = consumer.end_offsets(wanted)
    return ends
