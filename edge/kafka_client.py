"""A cluster reached by kafka-python, behind the protocols of `records`; only files named kafka_… import `kafka`."""

import logging
import threading
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any

import kafka
import kafka.errors

from edge import kafka_loop
from edge.errors import EdgeError, NotAuthorisedError, StoppedError, missing_right
from edge.kafka_errors import translate
from edge.kafka_scan import scan
from edge.kafka_sender import SharedSelector
from edge.kafka_sink import KafkaSink, KafkaTransactionalSink
from edge.kafka_source import KafkaSource
from edge.records import TRANSACTION_TIMEOUT_S, OnRevoked, Partition, Record, Right
from edge.security import Security
from edge.servers import BROKER_WAIT_S, HEARTBEAT_INTERVAL_MS, MAX_POLL_INTERVAL_MS, SESSION_TIMEOUT_MS, Servers

log = logging.getLogger(__name__)

_BOOTSTRAP_TIMEOUT_MS = 10_000

_CONNECTION = {
    # The default of 30 s would let an app sit still long after its broker is back.
    "reconnect_backoff_max_ms": 500,
    # How soon new partitions are seen, and that a topic was deleted and made again.
    "metadata_max_age_ms": 3_000,
    "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
}

# At DEBUG these log configurations, requests and bytes, a password among them, whatever level the program sets.
for _name in ("kafka.admin.client", "kafka.net.connection", "kafka.protocol.parser"):
    logging.getLogger(_name).addFilter(lambda record: record.levelno > logging.DEBUG)


class KafkaClient:
    """One cluster, reached by kafka-python; `instance_id` makes the consumers static members of their groups."""

    def __init__(
        self,
        bootstrap_servers: str,
        instance_id: str | None = None,
        broker_wait_s: float = BROKER_WAIT_S,
        stop: threading.Event | None = None,
        max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS,
        security: Security | None = None,
    ) -> None:
        self._max_poll_interval_ms = max_poll_interval_ms
        self._stop = stop or threading.Event()
        security = security or Security()
        self._servers = Servers(bootstrap_servers, security, broker_wait_s, self._stop)
        self._options = {**_CONNECTION, **security_options(security)}
        self._instance_id = instance_id
        self._servers.wait()

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str], right: Right | None = None) -> bool:
        """Create a topic; False when it was there already, which `config` then does not change.

        Raises: BrokerUnavailableError when the cluster did not answer in the time that a broker is waited for.
        """
        return self._servers.patiently(lambda: self._create_topic(name, partitions, config, right))

    def _create_topic(self, name: str, partitions: int, config: Mapping[str, str], right: Right | None) -> bool:
        admin = self._connect(kafka.KafkaAdminClient)
        new = {name: {"num_partitions": partitions, "configs": dict(config)}}
        doing = f"looking for the topic {name!r}"
        try:
            is_new = not _is_there(admin, name, right)
            if is_new:
                doing = f"creating the topic {name!r}"
                admin.create_topics(new, wait_for_metadata=True)
                _is_there(admin, name, right)
            else:
                _compare_config(admin, name, config)
        except kafka.errors.TopicAlreadyExistsError:
            return False
        except kafka.errors.KafkaError as error:
            raise translate(error, doing) from error
        finally:
            admin.close()
        return is_new

    def open_source(self, topic: str, group: str, on_revoked: OnRevoked) -> KafkaSource:
        """Join the group and read the topic, from its earliest record when the group has no offset."""
        connect = partial(
            self._connect,
            kafka.KafkaConsumer,
            kafka_client=kafka_loop.client,
            group_id=group,
            group_instance_id=self._instance_id,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            # Also tells the coordinator to withhold offsets that a transaction may still change.
            isolation_level="read_committed",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            max_poll_interval_ms=self._max_poll_interval_ms,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        return KafkaSource(connect, topic, on_revoked, self.find_fault)

    def scan(self, topic: str, starts: Mapping[Partition, int] | None = None) -> Generator[Record]:
        """What a topic holds as of now; ends early when the app is stopped."""
        consumer = self._connect(
            kafka.KafkaConsumer,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        return scan(consumer, topic, starts, self._stop)

    def open_sink(self) -> KafkaSink:
        """A new idempotent producer that waits for all in-sync replicas."""
        return KafkaSink(self._open_producer())

    def open_transactional_sink(self, name: str) -> KafkaTransactionalSink:
        """A new producer with the transactional id `name`; ends, and fences, what an earlier one left open."""
        producer = self._open_producer(
            transactional_id=name,
            transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
            # A transaction that follows another waits until the broker has finished that one: 100 ms by default.
            retry_backoff_ms=10,
        )
        sink = KafkaTransactionalSink(producer)
        try:
            producer.init_transactions()
        except kafka.errors.KafkaError as error:
            sink.close(0.0)
            raise translate(error, f"starting the transactions {name!r}") from error
        return sink

    def find_fault(self) -> EdgeError | None:
        """Why no broker can be used at the moment, in one sentence; None when one can (see `probe.find_fault`)."""
        return self._servers.find_fault()

    def _open_producer(self, **options: Any) -> Any:
        # kafka-python would look for a broker for ten seconds before it says that there is none.
        if (fault := self.find_fault()) is not None:
            raise fault
        return self._connect(
            kafka.KafkaProducer,
            acks="all",
            max_block_ms=_BOOTSTRAP_TIMEOUT_MS,
            metrics_enabled=False,
            selector=SharedSelector,
            **options,
        )

    def _connect(self, factory: Callable[..., Any], **options: Any) -> Any:
        try:
            return factory(bootstrap_servers=self._servers.names, **self._options, **options)
        except kafka.errors.KafkaError as error:
            if self._stop.is_set():
                raise StoppedError("stopped while connecting to Kafka") from None
            raise self.find_fault() or translate(error, f"connecting to {', '.join(self._servers.names)}") from error


def _is_there(admin: Any, name: str, right: Right | None) -> bool:
    """Whether a topic exists; raises NotAuthorisedError when it may not be used in that way."""
    (topic,) = admin.describe_topics([name])
    error = kafka.errors.for_code(topic["error_code"])
    if error is kafka.errors.UnknownTopicOrPartitionError:
        return False
    if error is kafka.errors.TopicAuthorizationFailedError:
        raise NotAuthorisedError(missing_right(f"DESCRIBE and {right}" if right else "DESCRIBE", f"topic {name!r}"))
    # Right after its creation a topic may have no leader yet, which is no reason to create it again.
    if right is not None and right not in (topic.get("authorized_operations") or [right]):
        raise NotAuthorisedError(missing_right(right, f"topic {name!r}"))
    return True


def _compare_config(admin: Any, name: str, config: Mapping[str, str]) -> None:
    resource = kafka.admin.ConfigResource(kafka.admin.ConfigResourceType.TOPIC, name)
    found = admin.describe_configs([resource], config_filter="all")["topic"][name]
    # Without the right DESCRIBE_CONFIGS there is nothing to compare, and nothing that would be worth a warning.
    for key, wanted in config.items() if found else ():
        value = found.get(key, {}).get("value")
        if value != wanted:
            log.warning("the topic %r was made elsewhere, with %s=%s; %s is advised", name, key, value, wanted)


def security_options(security: Security) -> dict[str, Any]:
    """What kafka-python calls these; it takes the password in clear."""
    options: dict[str, Any] = {"security_protocol": security.protocol, "ssl_context": security.ssl_context}
    if security.is_sasl and security.password is not None:
        options["sasl_mechanism"] = security.mechanism
        options["sasl_plain_username"] = security.sasl_name
        options["sasl_plain_password"] = security.password.reveal()
    return options
