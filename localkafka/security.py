"""TLS, SASL and users: a secure broker's listeners, certificates and passwords, and what its clients are told.

The principals: `User:NAME` comes in through SASL, or through mutual TLS with a certificate whose common name is NAME.
`User:ANONYMOUS` comes in on the listeners PLAINTEXT and SSL, which Kafka cannot tell apart: it may do everything
with topics, groups and transactional ids, which is what a test's recorder needs, but does not rule the cluster. The
only super user is the broker itself, with a password that never leaves `server.properties` (mode 0600).
"""

import os
import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localkafka.errors import BadConfigurationError

CLIENT, SERVER = "client", "server"
CA, CERTIFICATE, KEY, PASSWORD, ENVIRONMENT = "ca.pem", "client.pem", "client.key", "password", "environment"
KEY_STORE = "server.pem"

# The listeners of brokers and controllers themselves, and the name of the user who they are.
ADMIN, CONTROLLER, ADMINISTRATOR = "ADMIN", "CONTROLLER", "localkafka"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
DEFAULT_USER = "edge"
USER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Security:
    """Which listeners a broker has beside its plain one, and for whom: the first user is the apps' own."""

    tls: bool
    sasl: bool
    users: Mapping[str, str] = field(repr=False)
    administrator_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def user(self) -> str:
        return next(iter(self.users))


def client_listeners(*, tls: bool, sasl: bool) -> dict[str, str]:
    """Listener → security protocol, for clients; the first one is the main one."""
    return {
        **({"SASL_SSL": "SASL_SSL"} if tls and sasl else {}),
        **({"SSL": "SSL", "MTLS": "SSL"} if tls else {}),
        **({"SASL_PLAINTEXT": "SASL_PLAINTEXT"} if sasl else {}),
        "PLAINTEXT": "PLAINTEXT",
    }


def own_listeners(secured: bool) -> dict[str, str]:
    """Listener → security protocol, for the brokers and controllers themselves."""
    return {ADMIN: "SASL_PLAINTEXT", CONTROLLER: "SASL_PLAINTEXT"} if secured else {CONTROLLER: "PLAINTEXT"}


def secure(directory: Path, *, tls: bool, sasl: bool, users: Mapping[str, str] | None) -> Security:
    """Write what clients and broker need into `directory`, but keep what an earlier start made.

    Raises: BadConfigurationError for users that Kafka could not keep apart.
    """
    users = dict(users or {DEFAULT_USER: _kept_password(directory) or secrets.token_urlsafe(24)})
    for name in users:
        if name == ADMINISTRATOR or not USER_NAME.fullmatch(name):
            raise BadConfigurationError(
                f"{name!r} cannot be a user's name: take letters, digits, '.', '-' and '_', and not {ADMINISTRATOR!r}"
            )
    security = Security(tls, sasl, users)
    for name in (CLIENT, SERVER):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    if tls:
        _write_certificates(directory, security.user)
    if sasl:
        write_secret(directory / CLIENT / PASSWORD, users[security.user])
    return security


def write_environment(directory: Path, security: Security, servers: str) -> None:
    """The options of a client as a file to `source`; it names the file of the password, and not the password."""
    protocol = next(iter(client_listeners(tls=security.tls, sasl=security.sasl).values()))
    client = directory / CLIENT
    variables = {"EDGE_BOOTSTRAP_SERVERS": servers, "EDGE_SECURITY_PROTOCOL": protocol}
    if security.tls:
        variables |= {
            "EDGE_TLS_CA": str(client / CA),
            "EDGE_TLS_CERTIFICATE": str(client / CERTIFICATE),
            "EDGE_TLS_KEY": str(client / KEY),
        }
    if security.sasl:
        variables |= {
            "EDGE_SASL_MECHANISM": "SCRAM-SHA-256",
            "EDGE_SASL_USERNAME": security.user,
            "EDGE_SASL_PASSWORD_FILE": str(client / PASSWORD),
        }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (client / ENVIRONMENT).write_text("".join(lines), "utf-8")


def security_properties(security: Security) -> dict[str, str]:
    """The broker's own properties, with paths relative to its directory; they hold passwords."""
    own = _plain(security.administrator_password, {ADMINISTRATOR: security.administrator_password})
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMINISTRATOR}",
        "inter.broker.listener.name": ADMIN,
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.admin.plain.sasl.jaas.config": own,
        "listener.name.controller.plain.sasl.jaas.config": own,
        **(_tls_properties() if security.tls else {}),
        **{
            name: value
            for listener, protocol in client_listeners(tls=security.tls, sasl=security.sasl).items()
            if protocol.startswith("SASL")
            for name, value in _sasl_properties(listener, security.users).items()
        },
    }


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may ever read, whatever was there before."""
    path.unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", opener=_private) as file:
        file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)


def _kept_password(directory: Path) -> str:
    path = directory / CLIENT / PASSWORD
    return path.read_text("utf-8") if path.exists() else ""


def _write_certificates(directory: Path, user: str) -> None:
    """A certificate authority of its own, whose key nobody keeps, and what it signed; valid until 2038."""
    import trustme  # noqa: PLC0415 a plain broker does without
    from cryptography import x509  # noqa: PLC0415

    client = directory / CLIENT
    with_key = directory / SERVER / KEY_STORE
    name = x509.NameOID.COMMON_NAME
    if with_key.exists() and (client / CERTIFICATE).exists():
        kept = x509.load_pem_x509_certificate((client / CERTIFICATE).read_bytes())
        if kept.subject.get_attributes_for_oid(name)[0].value == user:
            return
    authority = trustme.CA()
    for_server = authority.issue_cert("localhost", "127.0.0.1", "::1")
    for_client = authority.issue_cert("localhost", common_name=user)
    (client / CA).write_bytes(authority.cert_pem.bytes())
    (client / CERTIFICATE).write_bytes(for_client.cert_chain_pems[0].bytes())
    write_secret(client / KEY, _pkcs8(for_client.private_key_pem.bytes()))
    (directory / SERVER / CA).write_bytes(authority.cert_pem.bytes())
    write_secret(
        with_key, _pkcs8(for_server.private_key_pem.bytes()) + for_server.cert_chain_pems[0].bytes().decode("ascii")
    )


def _pkcs8(key: bytes) -> str:
    """The only form of a private key that Kafka's PEM key stores read; trustme writes another."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    return (
        serialization.load_pem_private_key(key, None)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode("ascii")
    )


def _tls_properties() -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{SERVER}/{KEY_STORE}",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": f"{SERVER}/{CA}",
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        "listener.name.mtls.ssl.client.auth": "required",
    }


def _sasl_properties(listener: str, users: Mapping[str, str]) -> dict[str, str]:
    name = f"listener.name.{listener.lower()}"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        f"{name}.sasl.enabled.mechanisms": ",".join(MECHANISMS),
        f"{name}.plain.sasl.jaas.config": _plain(None, users),
        f"{name}.scram-sha-256.sasl.jaas.config": scram,
        f"{name}.scram-sha-512.sasl.jaas.config": scram,
    }


def _plain(own_password: str | None, users: Mapping[str, str]) -> str:
    """A JAAS entry for PLAIN: the users, and the broker's own login where it is a client, too."""
    options = {f"user_{name}": password for name, password in users.items()}
    if own_password is not None:
        options |= {"username": ADMINISTRATOR, "password": own_password}
    quoted = " ".join(f"{name}={_quoted(value)}" for name, value in options.items())
    return f"org.apache.kafka.common.security.plain.PlainLoginModule required {quoted};"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
