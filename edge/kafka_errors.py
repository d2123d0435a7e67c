"""What kafka-python raises, as errors that say what to do."""

import kafka.errors

from edge.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EdgeError,
    FencedError,
    NotAuthorisedError,
)

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


def translate(error: Exception, doing: str) -> EdgeError:
    """The error for the user; `doing` says what failed. What a repetition may mend is a BrokerUnavailableError."""
    if isinstance(error, _NOT_AUTHORISED):
        return NotAuthorisedError(f"{doing}: the broker refuses it ({error})")
    if isinstance(error, _TOO_LARGE):
        return ConfigurationError(f"{doing}: the record is larger than the broker or the topic allows ({error})")
    if isinstance(error, _FENCED):
        return FencedError(f"{doing}: another process runs with the same --instance-id ({error})")
    if isinstance(error, kafka.errors.CorruptRecordError):
        return BrokerUnavailableError(f"{doing}: the broker cannot read its own log there ({error})")
    if isinstance(error, (*_MISCONFIGURED, TypeError, ValueError)):
        return ConfigurationError(f"{doing}: {error}")
    return BrokerUnavailableError(f"{doing}: {error}")
