"""Finds out why a broker cannot be used: one walk from the socket to the login, which ends at the step that fails."""

import ssl
import time
from collections.abc import Callable

from edge.errors import BrokerUnavailableError, ConfigurationError, EdgeError, NotAuthorisedError
from edge.login import log_in, offered_mechanisms
from edge.security import Security
from edge.wire import Channel, ClosedError, pack_blob

TIMEOUT_S = 3.0
TCP, TLS, API_VERSIONS, LOGIN = "TCP", "TLS", "API versions", "login"
"""The steps of the walk, in order; without TLS, or without a user name, that step is none and passes."""
OnPassed = Callable[[str, Channel], None]
"""Called with each step that has passed."""
_SECOND_LOOK_S = 1.0
_ADVERTISED_TRIED = 3

_METADATA, _API_VERSIONS = 3, 18
# Alerts of servers that refuse a certificate or miss one; with TLS 1.2, OpenSSL's is a mere "handshake failure".
_REFUSALS = ("certificate", "unknown ca", "access denied", "handshake failure")
# What OpenSSL says of two sides without a common version or cipher; anything else may pass.
_DISAGREEMENTS = ("version", "protocol", "cipher", "too small", "too weak")
# OpenSSL's codes of verification: X509_V_ERR_… in x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_IP = 9, 10, 62, 64


def find_fault(
    server: str, security: Security, timeout_s: float = TIMEOUT_S, on_passed: OnPassed = lambda _, __: None
) -> EdgeError | None:
    """Why this client cannot use the broker at `server` (`host:port`), as the error to report; None when it can.

    BrokerUnavailableError: it may help to wait. NotAuthorisedError: the credentials are refused.
    ConfigurationError: the two do not agree about TLS, certificates, SASL or its mechanism.
    Returns after `timeout_s` and one second more at most, beside what resolving names takes.
    """
    deadline = time.monotonic() + timeout_s
    try:
        brokers = _walk(server, security, deadline, on_passed)
    except EdgeError as fault:
        return fault
    return None if server.lower() in brokers else _find_fault_of_all(server, brokers, security, deadline)


def _find_fault_of_all(server: str, brokers: list[str], security: Security, deadline: float) -> EdgeError | None:
    """A server may send its clients on, to names that it advertises: one of those must be of use, too."""
    faults = []
    for broker in brokers[:_ADVERTISED_TRIED]:
        try:
            _walk(broker, security, deadline, lambda _, __: None)
        except EdgeError as fault:
            faults.append(fault)
        else:
            return None
    return type(faults[0])(f"{server} sends its clients on to {brokers[0]}, where they fail: {faults[0].message}")


def _walk(server: str, security: Security, deadline: float, on_passed: OnPassed) -> list[str]:
    """The brokers that the cluster names, each as `host:port`."""
    try:
        with Channel(server, deadline) as channel:
            on_passed(TCP, channel)
            if security.ssl_context is not None:
                _encrypt(channel, security, security.ssl_context)
            on_passed(TLS, channel)
            _greet(channel, security)
            on_passed(API_VERSIONS, channel)
            if security.is_sasl:
                _log_in(channel, security)
            brokers = _enter(channel, security)
            on_passed(LOGIN, channel)
            return brokers
    except ssl.SSLError as error:
        # At any step: with TLS 1.3 a server refuses a client's certificate only after the handshake.
        raise _refused(server, security, error) from None


def _encrypt(channel: Channel, security: Security, context: ssl.SSLContext) -> None:
    try:
        channel.encrypt(context)
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(channel.server, security, error) from None
    except (ClosedError, BrokerUnavailableError) as error:
        if _answers_without_tls(channel.server):
            raise _without_tls(channel.server) from None
        if isinstance(error, BrokerUnavailableError):
            raise
        raise _closed(channel.server, "during the TLS handshake") from None


def _greet(channel: Channel, security: Security) -> None:
    """ApiVersions: the first request of every client, which a broker answers before any login."""
    try:
        answer = channel.ask(_API_VERSIONS, 0, b"")
        error, count = answer.number(2), answer.count()
        if error == 0 and count > 0:
            return
    except (ClosedError, BrokerUnavailableError) as error:
        # A plain client on a TLS port meets an alert, which is no answer in Kafka's protocol, or a closed connection.
        if not security.is_tls and _shakes_hands(channel.server):
            raise ConfigurationError(
                f"{channel.server} speaks TLS and this client does not: set --security-protocol to SSL or SASL_SSL, "
                "or name its plain port"
            ) from None
        if isinstance(error, BrokerUnavailableError):
            raise
    raise _closed(channel.server, "when asked what it can do")


def _log_in(channel: Channel, security: Security) -> None:
    try:
        log_in(channel, security)
    except ClosedError:
        raise _closed(channel.server, "during the login") from None


def _enter(channel: Channel, security: Security) -> list[str]:
    """Metadata about no topic: the first request that a broker answers only to whom it lets in."""
    try:
        answer = channel.ask(_METADATA, 1, pack_blob(b""))
    except ClosedError:
        deadline = time.monotonic() + _SECOND_LOOK_S
        mechanisms = "" if security.is_sasl else offered_mechanisms(channel.server, security, deadline)
        if mechanisms:
            raise ConfigurationError(
                f"{channel.server} wants a user name and password ({mechanisms}): give --sasl-username and "
                "--sasl-password-file"
            ) from None
        raise _closed(channel.server, "when asked for its cluster") from None
    brokers = []
    for _ in range(answer.count()):
        answer.number(4)  # the node
        brokers.append(f"{answer.text()}:{answer.number(4)}".lower())
        answer.text()  # the rack
    if not brokers:
        raise BrokerUnavailableError(f"the cluster behind {channel.server} has no brokers yet")
    return brokers


def _untrusted(server: str, security: Security, error: ssl.SSLCertVerificationError) -> EdgeError:
    if error.verify_code == _EXPIRED:
        return ConfigurationError(f"the certificate of {server} has expired: have it renewed, or set this clock right")
    if error.verify_code == _NOT_YET_VALID:
        return ConfigurationError(f"the certificate of {server} is not valid yet: set this machine's clock right")
    if error.verify_code in (_WRONG_HOST, _WRONG_IP):
        return ConfigurationError(
            f"the certificate of {server} is made out to another name ({error.verify_message.rstrip('.')}): "
            "connect by a name that it holds"
        )
    trusted = "the authorities of this system" if security.ca is None else security.ca
    return ConfigurationError(
        f"the certificate of {server} is not vouched for by {trusted} ({error.verify_message}): "
        "name the authority that signed it with --tls-ca"
    )


def _refused(server: str, security: Security, error: ssl.SSLError) -> EdgeError:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason and any(word in reason for word in _REFUSALS):
        if security.certificate is None:
            return NotAuthorisedError(
                f"{server} wants a client certificate ({reason}): give --tls-certificate and --tls-key"
            )
        return NotAuthorisedError(
            f"{server} refuses the certificate {security.certificate} ({reason}): give one that it trusts"
        )
    if _answers_without_tls(server):
        return _without_tls(server)
    if any(word in reason for word in _DISAGREEMENTS):
        return ConfigurationError(f"no TLS with {server} ({reason}): name a port that speaks TLS 1.2 or later")
    return BrokerUnavailableError(f"no TLS with {server} ({reason})")


def _without_tls(server: str) -> ConfigurationError:
    return ConfigurationError(
        f"{server} does not speak TLS: name its TLS port, or set --security-protocol to PLAINTEXT or SASL_PLAINTEXT"
    )


def _closed(server: str, when: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(f"no Kafka broker at {server} (it closes the connection {when})")


def _answers_without_tls(server: str) -> bool:
    try:
        with Channel(server, time.monotonic() + _SECOND_LOOK_S) as channel:
            return channel.ask(_API_VERSIONS, 0, b"").number(2) == 0
    except (BrokerUnavailableError, ClosedError):
        return False


def _shakes_hands(server: str) -> bool:
    """Whether TLS is spoken there; trusting nobody, the handshake itself always fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        with Channel(server, time.monotonic() + _SECOND_LOOK_S) as channel:
            channel.encrypt(context)
    except ssl.SSLCertVerificationError:
        return True
    except (ssl.SSLError, BrokerUnavailableError, ClosedError):
        return False
    return True
