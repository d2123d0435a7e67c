"""Which cluster an app works on, and how it is reached: one value, which can be handed on to another process."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.pubsub import PubSub, connect
from edge.security import Security


@dataclass(frozen=True)
class Cluster:
    """The cluster that a command works on, and how it is reached."""

    bootstrap_servers: str
    broker_wait_s: float = 30.0
    security: Security = field(default_factory=Security)

    def connect(self, stop: threading.Event | None = None, instance_id: str | None = None) -> PubSub:
        """As `pubsub.connect`."""
        return connect(self.bootstrap_servers, instance_id, self.broker_wait_s, stop, self.security)

    def environment(self) -> dict[str, str]:
        """The variables that lead an app started from here to the same cluster; one of them may be a password."""
        security = self.security
        values: dict[str, object] = {
            "BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "BROKER_WAIT": self.broker_wait_s,
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
    own = ("EDGE_BOOTSTRAP_SERVERS", "EDGE_BROKER_WAIT", "EDGE_SECURITY_", "EDGE_TLS_", "EDGE_SASL_")
    return {name: value for name, value in environment.items() if not name.startswith(own)}
