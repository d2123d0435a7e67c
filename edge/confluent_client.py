"""A cluster reached by librdkafka, behind the protocols of `records`; only files named confluent_… import it."""

import functools
import logging
import threading
from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it says nowhere what it exports
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from edge.cluster import Cluster
from edge.confluent_errors import CLIENT_ERRORS, kafka_error, translate
from edge.confluent_options import CONSUMER, PRODUCER, WATCHFUL, connection_options
from edge.confluent_reader import Reader
from edge.confluent_sink import ConfluentSink, ConfluentTransactionalSink
from edge.confluent_source import ConfluentSource
from edge.errors import EdgeError, NotAuthorisedError, missing_right
from edge.records import TRANSACTION_TIMEOUT_S, Client, OnRevoked, Partition, Record, Right
from edge.security import Security
from edge.servers import BROKER_WAIT_S, Servers

log = logging.getLogger(__name__)

_ADMIN_TIMEOUT_S, _CREATE_TIMEOUT_S = 10.0, 30.0
_librdkafka = logging.getLogger("librdkafka")


class ConfluentClient:
    """One cluster, reached by librdkafka; `instance_id` makes the consumers static members of their groups."""

    def __init__(
        self,
        bootstrap_servers: str,
        instance_id: str | None = None,
        broker_wait_s: float = BROKER_WAIT_S,
        stop: threading.Event | None = None,
        security: Security | None = None,
    ) -> None:
        self._cluster = Cluster(bootstrap_servers, broker_wait_s, security or Security())
        self._stop = stop or threading.Event()
        self._servers = Servers(bootstrap_servers, self._cluster.security, broker_wait_s, self._stop)
        self._options = {**connection_options(self._cluster), **WATCHFUL}
        self._instance_id = instance_id
        self._sinks: list[ConfluentSink] = []
        self._servers.wait()

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str], right: Right | None = None) -> bool:
        """Create a topic; False when it was there already, which `config` then does not change.

        Raises: BrokerUnavailableError when the cluster did not answer in the time that a broker is waited for.
        """
        return self._servers.patiently(lambda: self._create_topic(name, partitions, config, right))

    def _create_topic(self, name: str, partitions: int, config: Mapping[str, str], right: Right | None) -> bool:
        doing = f"looking for the topic {name!r}"
        try:
            if self._is_there(name, right):
                self._compare_config(name, config)
                return False
            doing = f"creating the topic {name!r}"
            new = NewTopic(name, partitions, config=dict(config))
            self._admin.create_topics([new], operation_timeout=_CREATE_TIMEOUT_S)[name].result()
            self._is_there(name, right)
        except CLIENT_ERRORS as error:
            if _code(error) == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise translate(error, doing, topic=name) from error
        return True

    def open_source(self, topic: str, group: str, on_revoked: OnRevoked) -> ConfluentSource:
        """Join the group and read the topic, from its earliest record when the group has no offset."""
        member = {} if self._instance_id is None else {"group.instance.id": self._instance_id}
        options = {**self._options, **CONSUMER, **member, "group.id": group}
        return ConfluentSource(
            lambda **callbacks: Consumer({**options, **callbacks}, logger=_librdkafka),
            lambda: self._admin,
            Reader(topic, group, self.scan, self._serve, self._hurry),
            group,
            self._instance_id,
            on_revoked,
            self.find_fault,
        )

    def scan(self, topic: str, starts: Mapping[Partition, int] | None = None) -> Generator[Record]:
        """What a topic holds as of now; by kafka-python, which can be made to read whatever the bytes."""
        return self._tolerant.scan(topic, starts)

    def open_sink(self) -> ConfluentSink:
        """A new idempotent producer that waits for all in-sync replicas."""
        return self._keep(ConfluentSink(self._open_producer(), self._sinks.remove))

    def open_transactional_sink(self, name: str) -> ConfluentTransactionalSink:
        """A new producer with the transactional id `name`; ends, and fences, what an earlier one left open."""
        timeout_ms = int(TRANSACTION_TIMEOUT_S * 1000)
        transactions = {"transaction.timeout.ms": timeout_ms, "message.timeout.ms": timeout_ms}
        producer = self._open_producer(**transactions, **{"transactional.id": name})
        sink = ConfluentTransactionalSink(producer, self._sinks.remove)
        self._keep(sink)
        try:
            sink.start(TRANSACTION_TIMEOUT_S)
        except CLIENT_ERRORS as error:
            sink.close(0.0)
            raise translate(error, f"starting the transactions {name!r}", transactional_id=name) from error
        return sink

    def find_fault(self) -> EdgeError | None:
        """Why no broker can be used at the moment, in one sentence; None when one can (see `probe.find_fault`)."""
        return self._servers.find_fault()

    def _keep(self, sink: ConfluentSink) -> ConfluentSink:
        self._sinks.append(sink)
        return sink

    def _serve(self, wait_s: float) -> None:
        for sink in list(self._sinks):
            sink.serve(wait_s)

    def _hurry(self) -> None:
        for sink in list(self._sinks):
            sink.hurry()

    def _open_producer(self, **options: Any) -> Any:
        # librdkafka would take what is written, and say nothing of a broker that is away for two minutes.
        if (fault := self.find_fault()) is not None:
            raise fault
        return Producer({**self._options, **PRODUCER, **options}, logger=_librdkafka)

    @functools.cached_property
    def _admin(self) -> Any:
        # Nobody would fetch what it logs.
        return AdminClient({**self._options, "log_level": 0})

    @functools.cached_property
    def _tolerant(self) -> Client:
        from edge.kafka_client import KafkaClient  # noqa: PLC0415 - only for what librdkafka cannot do

        cluster = self._cluster
        return KafkaClient(
            cluster.bootstrap_servers, None, cluster.broker_wait_s, self._stop, security=cluster.security
        )

    def _is_there(self, name: str, right: Right | None) -> bool:
        """Whether a topic exists; raises NotAuthorisedError when it may not be used in that way."""
        ask = partial(self._admin.describe_topics, include_authorized_operations=True)
        try:
            topic = ask(TopicCollection([name]), request_timeout=_ADMIN_TIMEOUT_S)[name].result()
        except CLIENT_ERRORS as error:
            if _code(error) == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return False
            if _code(error) == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                needed = f"DESCRIBE and {right}" if right else "DESCRIBE"
                raise NotAuthorisedError(missing_right(needed, f"topic {name!r}")) from error
            raise
        allowed = {operation.name for operation in topic.authorized_operations or ()}
        if right is not None and allowed and right not in allowed:
            raise NotAuthorisedError(missing_right(right, f"topic {name!r}"))
        return True

    def _compare_config(self, name: str, config: Mapping[str, str]) -> None:
        resource = ConfigResource(ResourceType.TOPIC, name)
        answer = self._admin.describe_configs([resource], request_timeout=_ADMIN_TIMEOUT_S)[resource]
        try:
            found = answer.result()
        except CLIENT_ERRORS as error:
            # Without the right to ask there is nothing to compare, and nothing that would be worth a warning.
            log.debug("the configuration of %r is not to be had (%s)", name, error)
            return
        for key, wanted in config.items():
            value = found[key].value if key in found else None
            if value != wanted:
                log.warning("the topic %r was made elsewhere, with %s=%s; %s is advised", name, key, value, wanted)


def _code(error: Exception) -> int | None:
    found = kafka_error(error)
    return found.code() if isinstance(found, KafkaError) else None
