"""The servers that a client is told of: why none of them can be used, and patience until one can."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from edge.errors import BrokerUnavailableError, EdgeError, StoppedError, is_fatal
from edge.outage import patiently
from edge.probe import find_fault
from edge.security import Security

log = logging.getLogger(__name__)

BROKER_WAIT_S = 30.0
SESSION_TIMEOUT_MS, HEARTBEAT_INTERVAL_MS = 6_000, 2_000
"""A member of a group that is silent for so long loses its partitions to the others."""
MAX_POLL_INTERVAL_MS = 300_000
"""The same for one whose program does not read."""
_PROBE_S = 0.3

Result = TypeVar("Result")


class Servers:
    """Where to find a cluster, whichever client talks to it; `wait_s` is how long it may be away at the start."""

    def __init__(self, bootstrap_servers: str, security: Security, wait_s: float, stop: threading.Event) -> None:
        self.names = [server.strip() for server in bootstrap_servers.split(",")]
        self._security = security
        self._wait_s = wait_s
        self._stop = stop

    def find_fault(self) -> EdgeError | None:
        """Why no broker can be used at the moment, in one sentence; None when one can (see `probe.find_fault`)."""
        faults = []
        for server in self.names:
            fault = find_fault(server, self._security)
            if fault is None:
                return None
            faults.append(fault)
        # A server that answers and refuses tells more than one that is away.
        fatal = [fault for fault in faults if is_fatal(fault)]
        return fatal[0] if fatal else BrokerUnavailableError("; ".join(fault.message for fault in faults))

    def wait(self) -> None:
        """Wait until one server can be used; what no waiting mends is raised at once.

        A client itself would try for as long as it may, whatever the cause, and not name it.
        """
        deadline = time.monotonic() + self._wait_s
        is_told = False
        while (fault := self.find_fault()) is not None:
            if is_fatal(fault):
                raise fault
            if time.monotonic() >= deadline:
                raise BrokerUnavailableError(
                    f"{fault.message}: start one with `python -m localkafka`, or name yours with --bootstrap-servers"
                )
            if not is_told:
                names = ", ".join(self.names)
                log.warning("waiting for a Kafka broker at %s; `python -m localkafka` starts one", names)
                is_told = True
            if self._stop.wait(_PROBE_S):
                raise StoppedError("stopped while waiting for a Kafka broker")

    def patiently(self, action: Callable[[], Result]) -> Result:
        """Do it, again and again while that raises BrokerUnavailableError, for as long as a broker is waited for."""
        return patiently(action, BrokerUnavailableError, self._wait_s, self._stop)
