"""Which cluster an app works on, and how it is reached: one value, which can be handed on to another process."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import ConfigurationError
from edge.pubsub import KAFKA_PYTHON, PubSub, connect
from edge.security import Secret, Security, read_secret


@dataclass(frozen=True)
class Cluster:
    """The cluster that a command works on, and how it is reached."""

    bootstrap_servers: str
    broker_wait_s: float = 30.0
    security: Security = field(default_factory=Security)
    client: str = KAFKA_PYTHON

    @property
    def servers(self) -> list[str]:
        """The brokers to connect to first, each as `host:port`."""
        return [server.strip() for server in self.bootstrap_servers.split(",")]

    def connect(self, stop: threading.Event | None = None, instance_id: str | None = None) -> PubSub:
        """As `pubsub.connect`."""
        return connect(self.bootstrap_servers, instance_id, self.broker_wait_s, stop, self.security, self.client)

    def environment(self) -> dict[str, str]:
        """The variables that lead an app started from here to the same cluster; one of them may be a password."""
        security = self.security
        values: dict[str, object] = {
            "BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "BROKER_WAIT": self.broker_wait_s,
            "CLIENT": self.client,
            "SECURITY_PROTOCOL": security.protocol,
            "TLS_CA": security.ca and security.ca.absolute(),
            "TLS_CERTIFICATE": security.certificate and security.certificate.absolute(),
            "TLS_KEY": security.key and security.key.absolute(),
            "TLS_KEY_PASSWORD": security.key_password and security.key_password.reveal(),
            "SASL_MECHANISM": security.mechanism,
            "SASL_USERNAME": security.username,
            "SASL_PASSWORD": security.password and security.password.reveal(),
        }
        return {f"EDGE_{name}": str(value) for name, value in values.items() if value is not None}


def without_cluster(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what names or secures a cluster."""
    own = ("EDGE_BOOTSTRAP_SERVERS", "EDGE_BROKER_WAIT", "EDGE_CLIENT", "EDGE_SECURITY_", "EDGE_TLS_", "EDGE_SASL_")
    return {name: value for name, value in environment.items() if not name.startswith(own)}


def security_of(
    security_protocol: str | None,
    tls_ca: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_key_password_file: Path | None,
    sasl_mechanism: str,
    sasl_username: str | None,
    sasl_password_file: Path | None,
) -> Security:
    """What the options of those names come to; a password can also come from the environment, by itself.

    Raises: ConfigurationError for options that do not fit together, or a file that holds no password.
    """
    is_tls = tls_ca or tls_certificate or tls_key
    # A password is never sent without TLS unless somebody has asked for it by name.
    derived = "SASL_SSL" if sasl_username is not None else "SSL" if is_tls else "PLAINTEXT"
    return Security(
        protocol=security_protocol or derived,
        ca=tls_ca,
        certificate=tls_certificate,
        key=tls_key,
        key_password=_secret("EDGE_TLS_KEY_PASSWORD", "--tls-key-password-file", tls_key_password_file),
        mechanism=sasl_mechanism,
        username=sasl_username,
        password=_secret("EDGE_SASL_PASSWORD", "--sasl-password-file", sasl_password_file),
    )


def _secret(variable: str, option_name: str, path: Path | None) -> Secret | None:
    # As with the options, an empty variable is one that is not set.
    value = os.environ.get(variable) or None
    if value is not None and path is not None:
        raise ConfigurationError(f"both {variable} and {option_name} give a password: leave one of them out")
    return read_secret(path) if path is not None else None if value is None else Secret(value)
