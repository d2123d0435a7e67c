"""The server properties of one node, and the files that it reads."""

import json
from collections.abc import Mapping
from pathlib import Path

from localkafka.ports import HOST
from localkafka.security import (
    CONTROLLER,
    Security,
    client_listeners,
    own_listeners,
    security_properties,
    write_secret,
)

DEFAULTS = {
    "process.roles": "broker,controller",
    "controller.listener.names": CONTROLLER,
    "auto.create.topics.enable": "false",
    # A killed broker is let in again only when its old session has ended: after 9 s by default.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
}

# A killed node takes the leadership of the metadata with it: half of the usual time to notice and to elect another.
QUORUM = {"controller.quorum.fetch.timeout.ms": "1000", "controller.quorum.election.timeout.ms": "500"}

LOG4J2 = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
logger.values.name = org.apache.kafka.common.config.AbstractConfig
logger.values.level = WARN
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
"""


def server_properties(
    number: int, ports: Mapping[str, int], voters: Mapping[int, int], security: Security | None
) -> dict[str, str]:
    """The properties of node `number`, given the port of each of its listeners and of each node's controller."""
    addresses = [f"{name}://{HOST}:{port}" for name, port in ports.items()]
    tls, sasl = (False, False) if security is None else (security.tls, security.sasl)
    protocols = client_listeners(tls=tls, sasl=sasl) | own_listeners(tls or sasl)
    return {
        **DEFAULTS,
        **_replication(len(voters)),
        **(QUORUM if len(voters) > 1 else {}),
        "node.id": str(number),
        "listeners": ",".join(addresses),
        "advertised.listeners": ",".join(address for address in addresses if not address.startswith(CONTROLLER)),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        # Voters by configuration, not in the metadata: the controllers may have other ports at the next start.
        "controller.quorum.voters": ",".join(f"{voter}@{HOST}:{port}" for voter, port in voters.items()),
        **({} if security is None else security_properties(security)),
    }


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """A file that only its owner may read, for there may be passwords in it."""
    # JSON escapes as Java's properties do: backslashes, line ends, and all that is not ASCII.
    write_secret(path, "".join(f"{name}={json.dumps(value)[1:-1]}\n" for name, value in properties.items()))


def _replication(nodes: int) -> dict[str, str]:
    """What is acknowledged survives the loss of one node, if there are three."""
    factor, in_sync = str(min(nodes, 3)), "2" if nodes >= 3 else "1"
    return {
        "default.replication.factor": factor,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": factor,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.replication.factor": factor,
    }
