"""The one file that imports `kafka`: kafka-python behind the protocols of `records`."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import kafka
import kafka.errors

from edge.errors import (
    BadDataError,
    BrokerUnavailableError,
    ConfigurationError,
    EdgeError,
    NotAuthorisedError,
    StoppedError,
)
from edge.kafka_records import flaw_of, tolerate
from edge.records import Headers, OnDone, OnRevoked, Partition, Record

log = logging.getLogger(__name__)

BROKER_WAIT_S = 30.0
SESSION_TIMEOUT_MS = 6_000
CLOSE_TIMEOUT_MS = 5_000
_BOOTSTRAP_TIMEOUT_MS = 10_000
_PROBE_S = 0.3
_SPIN_PAUSE_S, _SPIN_PROBE_S = 0.25, 0.05

_CONNECTION = {
    # The default of 30 s would let an app sit still long after its broker is back.
    "reconnect_backoff_max_ms": 500,
    "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
}
_TOO_LARGE = (kafka.errors.MessageSizeTooLargeError, kafka.errors.RecordListTooLargeError)
_NOT_AUTHORISED = (kafka.errors.AuthorizationError, kafka.errors.SaslAuthenticationFailedError)
_FENCED = (
    kafka.errors.FencedInstanceIdError,
    kafka.errors.UnreleasedInstanceIdError,
    kafka.errors.ProducerFencedError,
)
_MISCONFIGURED = (
    kafka.errors.KafkaConfigurationError,
    kafka.errors.InvalidTopicError,
    kafka.errors.InvalidGroupIdError,
    kafka.errors.InvalidSessionTimeoutError,
    kafka.errors.InvalidReplicationFactorError,
    kafka.errors.InvalidPartitionsError,
    kafka.errors.InvalidConfigurationError,
    kafka.errors.InconsistentGroupProtocolError,
    kafka.errors.PolicyViolationError,
    kafka.errors.UnsupportedVersionError,
)
_UNDECODABLE = (kafka.errors.CorruptRecordError, kafka.errors.UnsupportedCodecError, UnicodeDecodeError)


class KafkaClient:
    """One cluster, reached by kafka-python; `instance_id` makes the consumers static members of their groups."""

    def __init__(
        self,
        bootstrap_servers: str,
        instance_id: str | None = None,
        broker_wait_s: float = BROKER_WAIT_S,
        stop: threading.Event | None = None,
    ) -> None:
        self._servers = [server.strip() for server in bootstrap_servers.split(",")]
        self._instance_id = instance_id
        self._stop = stop or threading.Event()
        self._wait_for_broker(broker_wait_s)

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> bool:
        """Create a topic; False when it was there already, which `config` then does not change."""
        admin = self._connect(kafka.KafkaAdminClient)
        try:
            if name in admin.list_topics():
                self._compare_config(admin, name, config)
                return False
            admin.create_topics({name: {"num_partitions": partitions, "configs": dict(config)}}, wait_for_metadata=True)
        except kafka.errors.TopicAlreadyExistsError:
            return False
        except kafka.errors.KafkaError as error:
            raise _translate(error, f"creating the topic {name!r}") from error
        finally:
            admin.close()
        return True

    def open_source(self, topic: str, group: str, on_revoked: OnRevoked) -> "KafkaSource":
        """Join the group and read the topic, from its earliest record when the group has no offset."""
        consumer = self._connect(
            kafka.KafkaConsumer,
            group_id=group,
            group_instance_id=self._instance_id,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        tolerate(consumer)
        return KafkaSource(consumer, topic, on_revoked)

    def open_sink(self) -> "KafkaSink":
        """A new idempotent producer that waits for all in-sync replicas."""
        return KafkaSink(
            self._connect(kafka.KafkaProducer, acks="all", max_block_ms=_BOOTSTRAP_TIMEOUT_MS, metrics_enabled=False)
        )

    def _connect(self, factory: Callable[..., Any], **options: Any) -> Any:
        try:
            return factory(bootstrap_servers=self._servers, **_CONNECTION, **options)
        except kafka.errors.KafkaError as error:
            if self._stop.is_set():
                raise StoppedError("stopped while connecting to Kafka") from None
            raise _translate(error, f"connecting to {', '.join(self._servers)}") from error

    def _wait_for_broker(self, wait_s: float) -> None:
        """Wait until one server accepts connections: cheaper, and sooner ended, than kafka-python's constructors."""
        deadline = time.monotonic() + wait_s
        servers = ", ".join(self._servers)
        is_told = False
        while (reason := self._probe()) is not None:
            if time.monotonic() >= deadline:
                raise BrokerUnavailableError(
                    f"no Kafka broker at {servers} ({reason}): start one with `python -m localkafka`, "
                    "or name yours with --bootstrap-servers"
                )
            if not is_told:
                log.warning("waiting for a Kafka broker at %s; `python -m localkafka` starts one", servers)
                is_told = True
            if self._stop.wait(_PROBE_S):
                raise StoppedError("stopped while waiting for a Kafka broker")

    def _probe(self) -> str | None:
        reason = "no server named"
        for server in self._servers:
            host, _, port = server.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
            except OSError as error:
                reason = error.strerror or str(error)
            else:
                return None
        return reason

    @staticmethod
    def _compare_config(admin: Any, name: str, config: Mapping[str, str]) -> None:
        resource = kafka.admin.ConfigResource(kafka.admin.ConfigResourceType.TOPIC, name)
        found = admin.describe_configs([resource], config_filter="all")["topic"][name]
        for key, wanted in config.items():
            value = found.get(key, {}).get("value")
            if value != wanted:
                log.warning("the topic %r was made elsewhere, with %s=%s; %s is advised", name, key, value, wanted)


class KafkaSource:
    """A member of a consumer group; at least once, as `records.Source` says."""

    def __init__(self, consumer: Any, topic: str, on_revoked: OnRevoked) -> None:
        self._consumer = consumer
        self._fatal: EdgeError | None = None
        self._is_spinning = False
        consumer.subscribe([topic], listener=_Listener(consumer, on_revoked))

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records` records; raises EdgeError when reading cannot go on."""
        if self._fatal is not None:
            raise self._fatal
        if self._is_spinning:
            time.sleep(_SPIN_PAUSE_S)
            timeout_s = _SPIN_PROBE_S
        worked_s = time.thread_time()
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        except kafka.errors.RetriableError as error:
            log.info("reading goes on after %s", error)
            return []
        except (kafka.errors.KafkaError, *_UNDECODABLE) as error:
            raise _translate(error, "reading") from error
        # While its coordinator is away, kafka-python waits for records by polling as fast as it can.
        worked_s = time.thread_time() - worked_s
        self._is_spinning = not polled and worked_s > timeout_s / 4
        return [
            Record(Partition(r.topic, r.partition), r.offset, r.timestamp, r.key, r.value, r.headers, flaw_of(r))
            for records in polled.values()
            for r in records
        ]

    def commit(self, offsets: Mapping[Partition, int], on_done: OnDone) -> None:
        """Start a commit; `on_done` is called from a later `read`."""

        def callback(_: object, response: object) -> None:
            error = response if isinstance(response, Exception) else None
            if error is not None and not isinstance(
                translated := _translate(error, "committing"), BrokerUnavailableError
            ):
                self._fatal = translated
            on_done(error)

        self._consumer.commit_async(_offsets(offsets), callback)

    def commit_now(self, offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Commit and wait; a failure is logged, since what was not committed is only read again."""
        try:
            self._consumer.commit(_offsets(offsets), timeout_ms=int(timeout_s * 1000))
        except kafka.errors.KafkaError as error:
            log.warning("the last commit failed (%s): the records since the one before will be read again", error)

    def rewind(self, offsets: Mapping[Partition, int]) -> None:
        """Read again from the given offsets."""
        owned = self._consumer.assignment()
        for partition, offset in offsets.items():
            if kafka.TopicPartition(*partition) in owned:
                self._consumer.seek(kafka.TopicPartition(*partition), offset)

    def pause(self, paused: bool) -> None:
        """Stop or go on returning records."""
        if paused:
            self._consumer.pause(*self._consumer.assignment())
        elif self._consumer.paused():
            self._consumer.resume(*self._consumer.paused())

    def close(self) -> None:
        """Leave the group."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
        except kafka.errors.KafkaError as error:
            log.warning("the group was not left cleanly (%s): its other members wait for the session to end", error)


class _Listener(kafka.AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Commits what is answered before partitions go to another member; runs on kafka-python's I/O thread."""

    def __init__(self, consumer: Any, on_revoked: OnRevoked) -> None:
        self._consumer = consumer
        self._on_revoked = on_revoked

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        offsets = self._on_revoked([Partition(*tp) for tp in revoked])
        if not offsets:
            return
        try:
            await self._consumer.commit_async(_offsets(offsets))
        except kafka.errors.KafkaError as error:
            log.warning("the commit before a rebalance failed (%s): some records will be answered again", error)

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        names = ", ".join(sorted(f"{tp.topic}-{tp.partition}" for tp in assigned)) or "none"
        log.info("partitions assigned: %s", names)

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        log.warning("partitions lost: this process was evicted from its group; some records will be answered again")
        self._on_revoked([Partition(*tp) for tp in lost])


class KafkaSink:
    """An idempotent producer; kafka-python retries by itself for two minutes, then a write fails."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        """Start to write one record; `on_done` is called on kafka-python's sender thread."""
        try:
            future = self._producer.send(topic, value, key, list(headers))
        except (kafka.errors.KafkaError, TypeError, ValueError) as error:
            on_done(_translate(error, f"writing to {topic!r}"))
            return
        future.add_callback(lambda _: on_done(None))
        future.add_errback(lambda error: on_done(_translate(error, f"writing to {topic!r}")))

    def close(self, timeout_s: float) -> None:
        """Settle what can be settled in time."""
        try:
            self._producer.close(timeout_s)
        except kafka.errors.KafkaTimeoutError:
            # kafka-python then leaves its sender running, which would go on writing behind its successor's back.
            self._producer._sender.force_close()
            self._producer._sender.join(1.0)


def _offsets(offsets: Mapping[Partition, int]) -> dict[Any, Any]:
    return {kafka.TopicPartition(*p): kafka.OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}


def _translate(error: Exception, doing: str) -> EdgeError:
    if isinstance(error, _NOT_AUTHORISED):
        return NotAuthorisedError(f"{doing}: the broker refuses it ({error})")
    if isinstance(error, _TOO_LARGE):
        return ConfigurationError(f"{doing}: the record is larger than the broker or the topic allows ({error})")
    if isinstance(error, _FENCED):
        return ConfigurationError(f"{doing}: another process runs with the same --instance-id ({error})")
    if isinstance(error, _UNDECODABLE):
        return BadDataError(f"{doing}: a batch of records cannot be decoded ({error})")
    if isinstance(error, (*_MISCONFIGURED, TypeError, ValueError)):
        return ConfigurationError(f"{doing}: {error}")
    return BrokerUnavailableError(f"{doing}: {error}")
