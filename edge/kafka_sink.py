"""kafka-python's producers behind the protocols of `records`."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import kafka
import kafka.errors

from edge.errors import EdgeError, is_fatal
from edge.kafka_blocks import BlockProducer
from edge.kafka_errors import translate
from edge.records import Encoded, Headers, OnDone, Partition

_RETRY_S = 0.05


class KafkaSink:
    """An idempotent producer; kafka-python retries by itself for two minutes, then a write fails."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._blocks = BlockProducer(producer)

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        """Start to write one record; `on_done` is called on kafka-python's sender thread, or on this one."""
        self.write_all(topic, [Encoded(key, value, headers)], on_done)

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        """Start to write records; `on_done` is called on kafka-python's sender thread, or on this one."""
        try:
            self._blocks.send_all(topic, batch, lambda errors: on_done(_gravest(errors, topic)))
        except (kafka.errors.KafkaError, TypeError, ValueError) as error:
            on_done(_gravest([error], topic))

    def close(self, timeout_s: float) -> None:
        """Settle what can be settled in time."""
        try:
            self._producer.close(timeout_s)
        except kafka.errors.KafkaTimeoutError:
            # kafka-python then leaves its sender running, which would go on writing behind its successor's back.
            self._producer._sender.force_close()
            self._producer._sender.join(1.0)


class KafkaTransactionalSink(KafkaSink):
    """A producer with a transactional id; the broker fences an earlier one of the same id."""

    def __init__(self, producer: Any) -> None:
        super().__init__(producer)
        # On INVALID_PRODUCER_EPOCH kafka-python 3.0.12 would ask for a new epoch by itself, and so fence its successor.
        producer._transaction_manager._supports_epoch_bump = lambda: False
        # And it forgets a request whose coordinator it cannot connect to, unless it is told so without an exception.
        client = producer._sender._client
        client.await_ready = partial(_is_ready, client.await_ready)

    def begin(self) -> None:
        """Start a transaction; raises EdgeError when the producer is fenced or has failed."""
        try:
            self._producer.begin_transaction()
        except kafka.errors.KafkaError as error:
            raise translate(error, "starting a transaction") from error

    def commit(self, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
        """Start to commit, on a thread of its own: kafka-python waits for the broker without a timeout.

        A thread that waits in vain ends with the process; its producer is closed long before.
        """
        threading.Thread(target=self._commit, args=(offsets, membership, on_done), daemon=True).start()

    def _commit(self, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
        try:
            if offsets:
                self._producer.send_offsets_to_transaction(kafka_offsets(offsets), membership)
            self._producer.commit_transaction()
        except (kafka.errors.KafkaError, ValueError) as error:
            on_done(translate(error, "committing a transaction"))
        else:
            on_done(None)


def _gravest(errors: Iterable[Exception], topic: str) -> EdgeError | None:
    """One error for all of a write: rather one that no repetition mends."""
    translated = [translate(error, f"writing to {topic!r}") for error in errors]
    return max(translated, key=is_fatal, default=None)


def _is_ready(await_ready: Callable[..., bool], node: object, timeout_ms: int) -> bool:
    try:
        return await_ready(node, timeout_ms=timeout_ms)
    except kafka.errors.KafkaError:
        # Whoever asks does so again at once.
        time.sleep(_RETRY_S)
        return False


def kafka_offsets(offsets: Mapping[Partition, int]) -> dict[Any, Any]:
    """Offsets as kafka-python takes them."""
    return {kafka.TopicPartition(*p): kafka.OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
