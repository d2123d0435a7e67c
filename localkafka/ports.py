"""Free ports on the loopback interface."""

import contextlib
import secrets
import socket
from collections.abc import Collection

from localkafka.errors import BadConfigurationError, BrokerError

HOST = "127.0.0.1"
# Below the ports that systems give to outgoing connections: a client that keeps trying a dead broker's port in that
# range can end up connected to itself, and then the broker cannot have its port back.
FREE_PORTS = range(20_000, 32_000)


def free_port(besides: Collection[int] = ()) -> int:
    """A port that nobody listens on; raises BrokerError when a hundred tries find none."""
    for _ in range(100):
        port = secrets.choice(FREE_PORTS)
        with contextlib.suppress(OSError):
            if port not in besides:
                _bind(port)
                return port
    raise BrokerError(f"found no free port from {FREE_PORTS.start} to {FREE_PORTS.stop}")


def check_port(port: int) -> None:
    """Raises BadConfigurationError for a port that cannot be used."""
    try:
        _bind(port)
    except OSError as error:
        reason = error.strerror or error
        raise BadConfigurationError(
            f"port {port} cannot be used ({reason}): stop what listens there, or choose another port"
        ) from None


def _bind(port: int) -> None:
    """Bind and release a port, with the option that Java sets too; raises OSError when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
