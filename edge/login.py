"""The login of a client, SASL in Kafka's protocol: done, or asked what it would take."""

from edge.errors import BrokerUnavailableError, ConfigurationError, NotAuthorisedError
from edge.scram import Scram, ScramError
from edge.security import Security
from edge.wire import Channel, ClosedError, pack_blob, pack_text

_SASL_HANDSHAKE, _SASL_AUTHENTICATE = 17, 36
_UNSUPPORTED_MECHANISM, _ILLEGAL_SASL_STATE, _AUTHENTICATION_FAILED = 33, 34, 58


def log_in(channel: Channel, security: Security) -> None:
    """Log in as the user of `security`, by its mechanism.

    Raises: NotAuthorisedError when the credentials are refused, or the server does not know them itself;
    ConfigurationError when the two do not agree about SASL; ClosedError when the connection ends.
    """
    server = channel.server
    try:
        answer = channel.ask(_SASL_HANDSHAKE, 1, pack_text(security.mechanism))
        code, mechanisms = answer.number(2), [answer.text() for _ in range(answer.count())]
        if code == _ILLEGAL_SASL_STATE:
            raise ConfigurationError(
                f"{server} takes no user name: set --security-protocol to {'SSL' if security.is_tls else 'PLAINTEXT'} "
                "and leave --sasl-username out, or name its SASL port"
            )
        if code == _UNSUPPORTED_MECHANISM:
            raise ConfigurationError(
                f"{server} does not offer {security.mechanism}: set --sasl-mechanism to what it does offer "
                f"({', '.join(mechanisms)[:200] or 'nothing'})"
            )
        if code != 0:
            raise BrokerUnavailableError(f"no login at {server} (Kafka's error {code})")
        _authenticate(channel, security)
    except ScramError as error:
        raise NotAuthorisedError(
            f"{server} cannot be trusted with a login ({error}): it may not be the broker that it claims to be"
        ) from None


def _authenticate(channel: Channel, security: Security) -> None:
    password = "" if security.password is None else security.password.reveal()
    if security.mechanism == "PLAIN":
        _send_token(channel, security, f"\0{security.username}\0{password}".encode())
        return
    scram = Scram(security.mechanism, security.sasl_name, password)
    challenge = _send_token(channel, security, scram.first())
    scram.verify(_send_token(channel, security, scram.final(challenge)))


def _send_token(channel: Channel, security: Security, token: bytes) -> bytes:
    answer = channel.ask(_SASL_AUTHENTICATE, 0, pack_blob(token))
    code = answer.number(2)
    answer.text()  # The broker's words are left out: nobody can vouch that they do not repeat what was sent.
    if code == _AUTHENTICATION_FAILED:
        raise NotAuthorisedError(
            f"{channel.server} refuses the password of {security.username!r}, or does not know that user "
            f"({security.mechanism}): correct --sasl-username or the password"
        )
    if code != 0:
        raise BrokerUnavailableError(f"no login at {channel.server} (Kafka's error {code})")
    return answer.blob()


def offered_mechanisms(server: str, security: Security, deadline: float) -> str:
    """The names of the SASL mechanisms that a broker offers, empty if it does not say."""
    try:
        with Channel(server, deadline) as channel:
            if security.ssl_context is not None:
                channel.encrypt(security.ssl_context)
            answer = channel.ask(_SASL_HANDSHAKE, 1, pack_text("NONE"))
            if answer.number(2) == _UNSUPPORTED_MECHANISM:
                return ", ".join(answer.text() for _ in range(answer.count()))[:200]
    except (OSError, BrokerUnavailableError, ClosedError):
        pass
    return ""
