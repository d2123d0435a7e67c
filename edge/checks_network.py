"""Checks of the way to each server: its name, TCP, TLS, whether it is a Kafka, the login, and where it sends us on."""

import functools
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from edge.errors import BrokerUnavailableError, EdgeError
from edge.preflight import Finding, Preflight, failure, ok, skipped, warning
from edge.probe import API_VERSIONS, LOGIN, TCP, TLS, find_fault
from edge.security import Security
from edge.wire import Channel, host_and_port

NAME, BROKERS = "host name", "brokers"
STEPS = (NAME, TCP, TLS, API_VERSIONS, LOGIN, BROKERS)
EXPIRY_DAYS = 30
"""A certificate that ends sooner is worth a warning."""
_LOOK_S = 1.0
_OTHERS = "the apps work by another server that is named"

# What to do where a step meets nobody; the other faults say it themselves.
_ADVICE = {
    NAME: "correct --bootstrap-servers, or let this machine's name resolution (DNS, /etc/hosts) know that name",
    TCP: "start one (`python -m localkafka` starts a local one), correct the port in --bootstrap-servers, "
    "or open the firewall between",
    TLS: "look at the log of what listens there, and whether that is Kafka's TLS port",
    API_VERSIONS: "name Kafka's port with --bootstrap-servers; if that is it, the broker hangs: look at its log",
    LOGIN: "look at the broker's log",
    BROKERS: "let the broker's advertised.listeners name what this machine can reach, or make that name known here",
}


@dataclass
class Walk:
    """How far the way to one server goes: what each step that has passed found, and what stopped it then."""

    server: str
    passed: dict[str, str] = field(default_factory=dict)
    ends_at: float | None = None
    """When the server's certificate ends, seconds since 1970."""
    fault: EdgeError | None = None

    @property
    def stop(self) -> str | None:
        """The step that failed."""
        return None if self.fault is None else next(step for step in STEPS if step not in self.passed)


def network(preflight: Preflight) -> Iterator[Finding]:
    """Each step to each server; where one server can be used, a fault of another is a warning."""
    security = preflight.cluster.security
    walks = [walk(server, security) for server in preflight.cluster.servers]
    is_usable = any(each.fault is None for each in walks)
    for step in STEPS:
        for each in walks:
            if step in each.passed:
                yield _passed(step, each)
            elif step == each.stop and each.fault is not None:
                yield warning(step, f"{each.fault.message} ({_OTHERS})") if is_usable else failure(step, each.fault)
            elif not is_usable:
                yield skipped(step, f"the check of {each.stop} failed")


def walk(server: str, security: Security) -> Walk:
    """Go as far as can be gone."""
    found = Walk(server)
    host, port = host_and_port(server)
    started = time.monotonic()
    try:
        addresses = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        unknown = f"the host name {host!r} of {server} is not known here ({reason}): {_ADVICE[NAME]}"
        found.fault = BrokerUnavailableError(unknown)
        return found
    found.passed[NAME] = f"{host} is {', '.join(addresses)}{_took(started)}"
    found.fault = _advised(found, find_fault(server, security, on_passed=functools.partial(_note, found, security)))
    if found.fault is None:
        found.passed[BROKERS] = f"{server} names brokers that can be reached and used from here"
    return found


def _note(found: Walk, security: Security, step: str, channel: Channel) -> None:
    server = found.server
    if step == TLS and security.is_tls:
        found.ends_at = ssl.cert_time_to_seconds(channel.certificate["notAfter"])
        found.passed[step] = f"{server} shows a certificate for its name, good until {_day(found.ends_at)}"
        return
    user = f"{server} lets {security.username!r} in ({security.mechanism})"
    found.passed[step] = {
        TCP: f"{server} takes connections",
        TLS: f"{server} is talked to without it, by --security-protocol {security.protocol}",
        API_VERSIONS: f"{server} answers like a Kafka broker",
        LOGIN: user if security.is_sasl else f"{server} lets this client in, without a user name",
    }[step]


def _advised(found: Walk, fault: EdgeError | None) -> EdgeError | None:
    """The fault, with what to do where it does not say so itself."""
    if not isinstance(fault, BrokerUnavailableError):
        return fault
    found.fault = fault
    step = found.stop
    if step in (TLS, API_VERSIONS) and _is_web_server(found.server):
        return BrokerUnavailableError(
            f"{found.server} is a web server (it speaks HTTP), no Kafka broker: name Kafka's port with "
            "--bootstrap-servers"
        )
    return BrokerUnavailableError(f"{fault.message}: {_ADVICE[step or BROKERS]}")


def _passed(step: str, found: Walk) -> Finding:
    if step == TLS and found.ends_at is not None and found.ends_at - time.time() < EXPIRY_DAYS * 86400:
        days = (found.ends_at - time.time()) / 86400
        return warning(
            step,
            f"the certificate of {found.server} ends in {days:.1f} days, on {_day(found.ends_at)}: have it renewed",
        )
    return ok(step, found.passed[step])


def _is_web_server(server: str) -> bool:
    host, port = host_and_port(server)
    try:
        with socket.create_connection((host, int(port)), _LOOK_S) as connection:
            connection.settimeout(_LOOK_S)
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _took(started: float) -> str:
    """Nothing, unless it took so long that somebody would wonder."""
    took_s = time.monotonic() - started
    return f", which took {took_s:.1f} s" if took_s > 1 else ""


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
