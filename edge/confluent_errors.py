"""What librdkafka reports, as errors that say what to do."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from edge.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EdgeError,
    FencedError,
    NotAuthorisedError,
    refusal,
)

CLIENT_ERRORS = (KafkaException, BufferError, TypeError, ValueError, RuntimeError)
"""What the client's calls raise."""

DAMAGED = {
    KafkaError._BAD_MSG,
    KafkaError._BAD_COMPRESSION,
    KafkaError._UNDERFLOW,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.MSG_SIZE_TOO_LARGE,
}
"""What a consumer meets whose cause may be the bytes of a record."""
PASSING = {KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._MAX_POLL_EXCEEDED}
"""What a consumer is told that is watched, or passes by itself."""

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
_FENCED = {
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.UNRELEASED_INSTANCE_ID,
    KafkaError.PRODUCER_FENCED,
    KafkaError._FENCED,
    # What a write in a transaction meets when a newer producer of the same name has ended that.
    KafkaError.INVALID_PRODUCER_EPOCH,
}
_REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
}
_MISCONFIGURED = {
    KafkaError._INVALID_ARG,
    KafkaError.TOPIC_EXCEPTION,
    # No key in a compacted topic, for one: the broker says which rule of the topic a record breaks.
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_GROUP_ID,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.POLICY_VIOLATION,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,
}
_RESOURCES = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}


def kafka_error(error: Exception | Any) -> Any:
    """librdkafka's own error, which an exception carries; anything else as it is."""
    return error.args[0] if isinstance(error, KafkaException) and error.args else error


def translate(error: Exception | Any, doing: str, **names: str) -> EdgeError:
    """The error for the user; `doing` says what failed, `names` are those of the resources that took part.

    What a repetition may mend is a BrokerUnavailableError.
    """
    found = kafka_error(error)
    if isinstance(found, EdgeError):
        return found
    if not isinstance(found, KafkaError):
        kind = ConfigurationError if isinstance(found, (TypeError, ValueError)) else BrokerUnavailableError
        return kind(f"{doing}: {found}")
    code, words = found.code(), found.str()
    if code in _RESOURCES or code in _REFUSED:
        return NotAuthorisedError(f"{doing}: {refusal(_RESOURCES.get(code), doing, _name(code, names))}")
    if code in _TOO_LARGE:
        return ConfigurationError(f"{doing}: the record is larger than the broker or the topic allows ({words})")
    # Of a fatal error only the words say what it is.
    if code in _FENCED or (code == KafkaError._FATAL and "fenced" in words):
        return FencedError(f"{doing}: another process runs with the same --instance-id")
    return (ConfigurationError if code in _MISCONFIGURED else BrokerUnavailableError)(f"{doing}: {words}")


def _name(code: int, names: Mapping[str, str]) -> str:
    """The name of the resource that an error is about, if it took part."""
    name = names.get(_RESOURCES.get(code, "").replace(" ", "_"))
    return "" if name is None else f" {name!r}"
