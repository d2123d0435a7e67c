"""Where a topic begins and ends, also right after its creation, when its partitions may have no leaders yet."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bench.errors import AppError

TIMEOUT_S = 60.0
_LOOK_S = 0.05
_PASSING = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
}

T = TypeVar("T")


def partitions_of(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """All partitions of a topic.

    Raises: AppError when it is not there, or cannot be looked at.
    """

    def look() -> list[TopicPartition]:
        found = consumer.list_topics(topic, TIMEOUT_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return [TopicPartition(topic, number) for number in found.partitions]

    return _patiently(look, topic)


def watermarks(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """A partition's first offset, and the one that its next record will have.

    Raises: AppError when nobody says.
    """
    low, high = _patiently(lambda: consumer.get_watermark_offsets(partition, TIMEOUT_S), partition.topic)
    return low, high


def _patiently(look: Callable[[], T], topic: str) -> T:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return look()
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise AppError(f"the topic {topic!r} cannot be looked at: {error.args[0].str()}") from None
        time.sleep(_LOOK_S)
