"""What kafka-python raises, as errors that say what to do."""

import re

import kafka.errors

from edge.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EdgeError,
    FencedError,
    NotAuthorisedError,
    refusal,
)

_TOO_LARGE = (kafka.errors.MessageSizeTooLargeError, kafka.errors.RecordListTooLargeError)
_FENCED = (
    kafka.errors.FencedInstanceIdError,
    kafka.errors.UnreleasedInstanceIdError,
    kafka.errors.ProducerFencedError,
    # What a write in a transaction meets when a newer producer of the same name has ended that.
    kafka.errors.InvalidProducerEpochError,
)
_MISCONFIGURED = (
    kafka.errors.KafkaConfigurationError,
    kafka.errors.InvalidTopicError,
    # No key in a compacted topic, for one: the broker says which rule of the topic a record breaks.
    kafka.errors.InvalidRecordError,
    kafka.errors.InvalidGroupIdError,
    kafka.errors.InvalidSessionTimeoutError,
    kafka.errors.InvalidReplicationFactorError,
    kafka.errors.InvalidPartitionsError,
    kafka.errors.InvalidConfigurationError,
    kafka.errors.InconsistentGroupProtocolError,
    kafka.errors.PolicyViolationError,
    kafka.errors.UnsupportedVersionError,
)

_RESOURCES = {
    kafka.errors.TopicAuthorizationFailedError: "topic",
    kafka.errors.GroupAuthorizationFailedError: "group",
    kafka.errors.TransactionalIdAuthorizationFailedError: "transactional id",
    kafka.errors.ClusterAuthorizationFailedError: "cluster",
}


def translate(error: Exception, doing: str) -> EdgeError:
    """The error for the user; `doing` says what failed. What a repetition may mend is a BrokerUnavailableError."""
    if isinstance(error, (kafka.errors.AuthorizationError, kafka.errors.SaslAuthenticationFailedError)):
        kind = _RESOURCES.get(type(error))
        return NotAuthorisedError(f"{doing}: {refusal(kind, doing, _names(error) if kind else '')}")
    if isinstance(error, _TOO_LARGE):
        return ConfigurationError(f"{doing}: the record is larger than the broker or the topic allows ({error})")
    if isinstance(error, _FENCED):
        return FencedError(f"{doing}: another process runs with the same --instance-id ({error})")
    if isinstance(error, kafka.errors.CorruptRecordError):
        return BrokerUnavailableError(f"{doing}: the broker cannot read its own log there ({error})")
    if isinstance(error, (*_MISCONFIGURED, TypeError, ValueError)):
        return ConfigurationError(f"{doing}: {error}")
    return BrokerUnavailableError(f"{doing}: {error}")


def _names(error: Exception) -> str:
    """The resources that an error of kafka-python names, which are a string, a set, or missing."""
    named = error.args[0] if error.args else ()
    names = [named] if isinstance(named, str) else sorted(named)
    # Some errors hold a whole request instead, or nothing.
    return "".join(f" {name!r}" for name in names if re.fullmatch(r"[^\s()]{1,249}", name))
