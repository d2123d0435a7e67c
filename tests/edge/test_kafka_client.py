"""What a real broker does not do on demand to the Kafka client; all else is in tests/system."""

import time

from edge.kafka_client import KafkaSource


class SpinningConsumer:
    """A consumer whose poll returns nothing in time, either asleep or, as kafka-python can, in a busy loop."""

    def __init__(self) -> None:
        self.is_busy = False
        self.timeouts_ms: list[int] = []

    def subscribe(self, topics: list[str], listener: object) -> None:
        pass

    def poll(self, timeout_ms: int, max_records: int) -> dict[object, object]:
        self.timeouts_ms.append(timeout_ms)
        until = time.thread_time() + timeout_ms / 1000
        while self.is_busy and time.thread_time() < until:
            pass
        return {}


def test_a_busy_loop_inside_the_client_is_kept_short_until_it_ends() -> None:
    consumer = SpinningConsumer()
    source = KafkaSource(consumer, "topic", lambda _: {})
    source.read(500, 0.1)
    consumer.is_busy = True
    for _ in range(3):
        source.read(500, 0.1)
    consumer.is_busy = False
    for _ in range(2):
        source.read(500, 0.1)
    assert consumer.timeouts_ms == [100, 100, 50, 50, 50, 100]
