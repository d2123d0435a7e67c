"""Publish and subscribe in ten lines: create a topic, write, subscribe, read, close, whichever Kafka client is below.

with connect("localhost:9092") as pubsub:
    pubsub.create_topic("greetings")
    pubsub.write("greetings", b"hello")
    for record in pubsub.subscribe("greetings", group="readers", limit=1):
        print(record.value)
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from types import TracebackType

from edge.errors import BrokerUnavailableError, ConfigurationError, is_fatal
from edge.outage import Outage
from edge.records import Client, Headers, Partition, Record, Right, Sink, Source
from edge.security import Security

KAFKA_PYTHON, CONFLUENT = "kafka-python", "confluent"
CLIENTS = (KAFKA_PYTHON, CONFLUENT)
COMMIT_INTERVAL_S = 0.5
MAX_UNSETTLED = 1000
READ_LIMIT = 500
SETTLE_TIMEOUT_S = 130.0
"""How long a write may stay unsettled: a little more than the clients themselves go on trying."""
STOP_TIMEOUT_S = 10.0
"""The same once the app was told to stop."""
SILENCE_S = 2.0
"""So long without an acknowledgement for what was written is worth a line."""
LOOK_S = 5.0
"""How often it is asked why, while that lasts."""


def connect(
    bootstrap_servers: str,
    instance_id: str | None = None,
    broker_wait_s: float = 30.0,
    stop: threading.Event | None = None,
    security: Security | None = None,
    client: str = KAFKA_PYTHON,
) -> "PubSub":
    """Connect to a cluster, waiting up to `broker_wait_s` for a broker to answer.

    `bootstrap_servers` is `host:port[,host:port…]`; `instance_id` names a static member of the groups; setting `stop`
    ends the wait and the subscriptions, and shortens the wait for acknowledgements; `security` is TLS and SASL;
    `client` is the library that does it, one of CLIENTS.

    Raises: BrokerUnavailableError when none answered in time, StoppedError when `stop` was set, and, at once,
    NotAuthorisedError or ConfigurationError when a broker cannot be used in this way (see `probe.find_fault`), or
    `client` is not installed.
    """
    make = _confluent() if client == CONFLUENT else _kafka_python()
    return PubSub(make(bootstrap_servers, instance_id, broker_wait_s, stop, security=security), stop)


# Each is imported only when it is asked for: it takes its time and memory, and one of them need not be there.
def _kafka_python() -> Callable[..., Client]:
    from edge.kafka_client import KafkaClient  # noqa: PLC0415

    return KafkaClient


def _confluent() -> Callable[..., Client]:
    try:
        from edge.confluent_client import ConfluentClient  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise ConfigurationError(
            "--client confluent needs a package that is not installed here: pip install confluent-kafka"
        ) from None
    return ConfluentClient


class PubSub:
    """Topics, writes and subscriptions on one client."""

    def __init__(self, client: Client, stop: threading.Event | None = None) -> None:
        self.client = client
        self._stop = stop or threading.Event()
        self._sink: Sink | None = None
        self._unsettled = 0
        self._settled = threading.Condition()
        self._failures: list[Exception] = []
        self._last_settled = 0.0
        self._next_look = 0.0
        self._silence = Outage("Kafka acknowledges nothing, waiting for it", "Kafka acknowledges again")
        self._subscriptions: list[Subscription] = []

    def __enter__(self) -> "PubSub":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(is_settling=error is None)

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None, right: Right | None = None
    ) -> bool:
        """Create a topic; False when it was there already.

        Raises: NotAuthorisedError when it cannot be created, or when `right`, READ or WRITE, on it is missing.
        """
        return self.client.create_topic(name, partitions, config or {}, right)

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        on_acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Start to write one record; records with the same key keep their order.

        `on_acknowledged` is called, maybe on another thread, once the broker has the record.

        Raises: EdgeError when an earlier write failed, or when none was acknowledged for SETTLE_TIMEOUT_S.
        """
        if self._sink is None:
            self._sink = self.client.open_sink()
        self._wait_for(MAX_UNSETTLED - 1, SETTLE_TIMEOUT_S)
        with self._settled:
            if self._unsettled == 0:
                self._last_settled = time.monotonic()
            self._unsettled += 1
        on_done = self._on_done if on_acknowledged is None else partial(self._on_done, on_acknowledged=on_acknowledged)
        self._sink.write(topic, value, key, headers, on_done)

    def check(self) -> None:
        """Raises EdgeError when an earlier write failed, or when none is acknowledged and no waiting mends that."""
        self._diagnose()
        with self._settled:
            self._listen()

    def flush(self, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Return when the broker has acknowledged every write.

        Raises: EdgeError when one failed, or was not acknowledged in time.
        """
        self._wait_for(0, timeout_s)

    def subscribe(self, topic: str, group: str, limit: int | None = None) -> "Subscription":
        """Read a topic as a member of a consumer group; iterate over the result, which ends at `limit` or `stop`."""
        subscription = Subscription(self.client, topic, group, limit, self._stop)
        self._subscriptions.append(subscription)
        return subscription

    def close(self) -> None:
        """Commit what was read, leave the groups, and settle what was written.

        Raises: EdgeError as `flush` does.
        """
        self._close(is_settling=True)

    def _close(self, is_settling: bool) -> None:
        for subscription in self._subscriptions:
            subscription.close()
        if self._sink is not None:
            sink, self._sink = self._sink, None
            try:
                if is_settling:
                    self.flush()
            finally:
                sink.close(1.0)

    def _wait_for(self, unsettled: int, timeout_s: float) -> None:
        """Wait until at most so many writes are unsettled, and raise the first failure there was."""
        deadline, is_stopping = time.monotonic() + timeout_s, False
        while True:
            self._diagnose()
            with self._settled:
                self._listen()
                if self._unsettled <= unsettled:
                    return
                if self._stop.is_set() and not is_stopping:
                    deadline, is_stopping = min(deadline, time.monotonic() + STOP_TIMEOUT_S), True
                if time.monotonic() >= deadline:
                    raise BrokerUnavailableError(f"{self._unsettled} writes were not acknowledged in time")
                self._settled.wait(0.1)

    def _listen(self) -> None:
        # A write that has failed is settled, but no sign that anything is acknowledged again.
        if self._failures:
            failures, self._failures = self._failures, []
            raise failures[0]
        self._silence.note(self._unsettled > 0 and time.monotonic() - self._last_settled > SILENCE_S)

    def _diagnose(self) -> None:
        """Ask now and then why nothing is acknowledged; raises EdgeError when no waiting mends it."""
        if self._silence.duration_s == 0.0 or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_S
        fault = self.client.find_fault()
        if is_fatal(fault):
            raise fault

    def _on_done(self, error: Exception | None, on_acknowledged: Callable[[], None] | None = None) -> None:
        if error is None and on_acknowledged is not None:
            on_acknowledged()
        with self._settled:
            self._unsettled -= 1
            self._last_settled = time.monotonic()
            if error is not None:
                self._failures.append(error)
            self._settled.notify_all()


class Subscription:
    """The records of one topic, one at a time.

    At least once: a record counts as read when the next one is asked for; after a crash the last ones come again.
    """

    def __init__(self, client: Client, topic: str, group: str, limit: int | None, stop: threading.Event) -> None:
        self._read: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._limit = limit
        self._stop = stop
        self._source: Source | None = client.open_source(topic, group, self._on_revoked)
        self._next_commit = 0.0

    def __iter__(self) -> Iterator[Record]:
        count = 0
        while not self._stop.is_set() and self._source is not None and count != self._limit:
            left = READ_LIMIT if self._limit is None else min(READ_LIMIT, self._limit - count)
            for record in self._source.read(left, 0.5):
                yield record
                count += 1
                self._read[record.partition] = record.offset + 1
                if self._stop.is_set() or self._source is None:
                    return
            self._commit()

    def close(self) -> None:
        """Commit what was read and leave the group."""
        if self._source is not None:
            source, self._source = self._source, None
            if self._read:
                source.commit_now(self._read, 5.0)
                self._read = {}
            source.close()

    def _commit(self) -> None:
        is_due = time.monotonic() >= self._next_commit and self._read != self._committed
        if self._source is not None and is_due:
            self._committed = dict(self._read)
            self._next_commit = time.monotonic() + COMMIT_INTERVAL_S
            # The position only grows: a commit that fails is made good by the next one, or by close.
            self._source.commit(dict(self._read), lambda _: None)

    def _on_revoked(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        return {p: self._read.pop(p) for p in partitions if p in self._read}
