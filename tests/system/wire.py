"""Topics of its own for each test, and a broker full of requests."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import kafka
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from edge.codec import REQUEST_TOPIC_CONFIG, decode_prediction
from edge.images import Images
from edge.pubsub import connect
from edge.records import Headers, Record
from localkafka import LocalKafka
from tests.paths import LENET
from tests.recorder import read_all


@dataclass(frozen=True)
class Wire:
    """One test's topics and group on one broker."""

    servers: str
    requests: str
    predictions: str
    dead_letters: str
    group: str

    @property
    def classifier(self) -> list[str]:
        """Options of a classifier on these topics."""
        return [
            "--bootstrap-servers",
            self.servers,
            "--model",
            str(LENET),
            "--group",
            self.group,
            "--request-topic",
            self.requests,
            "--prediction-topic",
            self.predictions,
            "--dead-letter-topic",
            self.dead_letters,
        ]

    def create(self, partitions: int = 1, max_message_bytes: int = 1_048_588) -> None:
        """Create the topics before the apps do."""
        config = {"max.message.bytes": str(max_message_bytes)}
        with connect(self.servers) as pubsub:
            pubsub.create_topic(self.requests, partitions, {**REQUEST_TOPIC_CONFIG, **config})
            pubsub.create_topic(self.predictions, partitions)
            pubsub.create_topic(self.dead_letters, 1, config)

    def send(self, requests: Sequence[tuple[bytes | None, Headers]], key: Callable[[int], bytes] | None = None) -> None:
        """Write requests, and wait until the broker has each of them."""
        producer = kafka.KafkaProducer(bootstrap_servers=self.servers, max_request_size=15_000_000, linger_ms=5)
        futures = [
            producer.send(self.requests, value, key(n) if key else b"device", list(headers))
            for n, (value, headers) in enumerate(requests)
        ]
        for future in futures:
            future.get(30)
        producer.close()

    def answers(self) -> list[str]:
        """Ids of all predictions, in the order of each partition."""
        return [decode_prediction(record).id for record in self.predicted()]

    def predicted(self) -> list[Record]:
        """All records of the topic of predictions."""
        return read_all(self.servers, self.predictions)

    def committed(self) -> list[str]:
        """Ids of the predictions that a reader of committed records sees."""
        return [decode_prediction(record).id for record in read_all(self.servers, self.predictions, committed=True)]

    def dead(self) -> list[Record]:
        """All dead letters."""
        return read_all(self.servers, self.dead_letters)

    def standing(self) -> str:
        """How the group and its topics stand, for whoever asks why nothing goes on."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        found = admin.describe_consumer_groups([self.group])[self.group].result(10)
        lines = [f"group {found.state}, members: {[each.assignment.topic_partitions for each in found.members]}"]
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": self.group})
        for topic in (self.requests, self.predictions, self.dead_letters):
            for number in consumer.list_topics(topic, 10).topics[topic].partitions:
                (place,) = consumer.committed([TopicPartition(topic, number)], 10)
                end = consumer.get_watermark_offsets(place, 10)[1]
                lines.append(f"{topic}-{number}: committed {place.offset}, end {end}")
        consumer.close()
        return "\n".join(lines)


def wire_on(broker: LocalKafka) -> Wire:
    """Fresh topics on a broker."""
    name = uuid.uuid4().hex[:8]
    return Wire(broker.bootstrap_servers, f"in-{name}", f"out-{name}", f"dead-{name}", f"group-{name}")


def requests(samples: Images, count: int) -> list[tuple[bytes, Headers]]:
    """Numbered requests of real images."""
    return [(samples.image[n % len(samples.image)].tobytes(), [("request-id", str(n).encode())]) for n in range(count)]
