"""What kafka-python raises, as errors that say what to do."""

import re

import kafka.errors

from edge.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EdgeError,
    FencedError,
    NotAuthorisedError,
    missing_right,
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
# Which right was missing follows from the resource and, by its first word, from what was being done.
_RIGHTS = {
    ("topic", "creating"): "CREATE",
    ("topic", "reading"): "READ",
    ("topic", "committing"): "READ",
    ("topic", "writing"): "WRITE",
    ("cluster", "creating"): "CREATE",
    ("cluster", "writing"): "IDEMPOTENT_WRITE",
}
_USUAL_RIGHTS = {"topic": "READ or WRITE", "group": "READ", "transactional id": "WRITE", "cluster": "IDEMPOTENT_WRITE"}


def translate(error: Exception, doing: str) -> EdgeError:
    """The error for the user; `doing` says what failed. What a repetition may mend is a BrokerUnavailableError."""
    if isinstance(error, (kafka.errors.AuthorizationError, kafka.errors.SaslAuthenticationFailedError)):
        return NotAuthorisedError(f"{doing}: {_refusal(error, doing.partition(' ')[0])}")
    if isinstance(error, _TOO_LARGE):
        return ConfigurationError(f"{doing}: the record is larger than the broker or the topic allows ({error})")
    if isinstance(error, _FENCED):
        return FencedError(f"{doing}: another process runs with the same --instance-id ({error})")
    if isinstance(error, kafka.errors.CorruptRecordError):
        return BrokerUnavailableError(f"{doing}: the broker cannot read its own log there ({error})")
    if isinstance(error, (*_MISCONFIGURED, TypeError, ValueError)):
        return ConfigurationError(f"{doing}: {error}")
    return BrokerUnavailableError(f"{doing}: {error}")


def _refusal(error: Exception, verb: str) -> str:
    kind = _RESOURCES.get(type(error))
    if kind is None:
        # The broker's own words are left out: nobody can vouch that they do not repeat what was sent.
        return "the broker refuses the user name or the password; correct them"
    return missing_right(_RIGHTS.get((kind, verb)) or _USUAL_RIGHTS[kind], kind + _names(error))


def _names(error: Exception) -> str:
    """The resources that an error of kafka-python names, which are a string, a set, or missing."""
    named = error.args[0] if error.args else ()
    names = [named] if isinstance(named, str) else sorted(named)
    # Some errors hold a whole request instead, or nothing.
    return "".join(f" {name!r}" for name in names if re.fullmatch(r"[^\s()]{1,249}", name))
