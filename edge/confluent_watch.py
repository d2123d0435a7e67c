"""What librdkafka does not tell a consumer by itself: its connections, a partition that stands still, another topic."""

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection

from edge.confluent_errors import CLIENT_ERRORS, kafka_error, translate
from edge.errors import ConfigurationError, FencedError

log = logging.getLogger(__name__)

TOPIC_LOOK_S = 3.0
ANSWER_TIMEOUT_S = 5.0


class Statistics:
    """What librdkafka counts, once a second: https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md."""

    def __init__(self, topic: str) -> None:
        self.is_connected = True
        self.stuck: dict[int, int] = {}
        """Partitions with records that do not come out though nothing else is to be waited for: where they begin."""
        self.lag: dict[int, int] = {}
        """Of each partition that is fetched, how many records the broker has that were not handed out."""
        self._topic = topic
        self._suspects: dict[int, int] = {}

    def take(self, text: str) -> None:
        """The callback."""
        found = json.loads(text)
        self.is_connected = any(broker["state"] == "UP" for broker in found["brokers"].values())
        partitions = found["topics"].get(self._topic, {}).get("partitions", {})
        waiting = {
            int(number): partition["next_offset"]
            for number, partition in partitions.items()
            if partition["fetch_state"] == "active"
            and not partition["fetchq_cnt"]
            and 0 <= partition["app_offset"] <= partition["next_offset"] < partition["ls_offset"]
        }
        self.lag = {int(n): lag for n, partition in partitions.items() if (lag := _lag(partition)) is not None}
        if self.is_connected:
            self.stuck = {n: offset for n, offset in waiting.items() if self._suspects.get(n) == offset}
            self._suspects = waiting


def _lag(partition: Mapping[str, Any]) -> int | None:
    """None as long as it is not known where the partition ends, or where it is read."""
    fetched, end = partition["next_offset"], partition["ls_offset"]
    # The last offsets may be those of transactions, which are never handed out.
    is_read = fetched >= end and not partition["fetchq_cnt"]
    start = partition["app_offset"] if partition["app_offset"] >= 0 else fetched - partition["fetchq_cnt"]
    return None if min(end, fetched, start) < 0 else 0 if is_read else max(0, end - start)


class Topic:
    """Which topic it is that has this name, and how many partitions it has, asked every few seconds."""

    def __init__(self, open_admin: Callable[[], Any], name: str) -> None:
        self.id: str | None = None
        self.partitions = 0
        self.is_there = True
        self.is_other = False
        self._open_admin = open_admin
        self._name = name
        self._answer: Future[Any] | None = None
        self._next = 0.0

    def look(self, now: float) -> None:
        """Ask when it is time, and take in an answer; waits for nothing.

        Raises: ConfigurationError when it is another topic than at first.
        """
        if self._answer is not None and self._answer.done():
            answer, self._answer = self._answer, None
            self._take(answer)
        elif self._answer is None and now >= self._next:
            self._next = now + TOPIC_LOOK_S
            self._answer = self._ask()

    def look_closely(self) -> None:
        """Ask now, and wait for the answer; raises as `look` does."""
        self._take(self._ask())

    def _ask(self) -> "Future[Any]":
        topics = TopicCollection([self._name])
        answers = self._open_admin().describe_topics(topics, request_timeout=ANSWER_TIMEOUT_S)
        answer: Future[Any] = answers[self._name]
        return answer

    def _take(self, answer: "Future[Any]") -> None:
        try:
            found = answer.result()
        except KafkaException as error:
            # What else goes wrong says nothing about the topic.
            if kafka_error(error).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self.is_there = False
            return
        current = f"{found.topic_id.get_most_significant_bits()}-{found.topic_id.get_least_significant_bits()}"
        self.id = self.id or current
        self.is_other = current != self.id
        self.is_there, self.partitions = True, len(found.partitions)
        if self.is_other:
            raise ConfigurationError(
                f"the topic {self._name!r} was deleted and made again: offsets from before mean nothing in it. "
                "Start again, with another --group if this one has committed since, to read it from its beginning"
            )


def is_member(admin: Any, group: str, member_id: str, instance_id: str | None) -> bool:
    """Whether the group knows this member.

    Raises: FencedError when another one has its name, BrokerUnavailableError when no coordinator says.
    """
    try:
        answer = admin.describe_consumer_groups([group], request_timeout=ANSWER_TIMEOUT_S)[group]
        members = answer.result().members
    except CLIENT_ERRORS as error:
        raise translate(error, "asking the group for this process's place", group=group) from error
    if any(
        instance_id is not None and m.group_instance_id == instance_id and m.member_id != member_id for m in members
    ):
        raise FencedError("asking the group for this process's place: another process runs with the same --instance-id")
    return any(member.member_id == member_id for member in members)
