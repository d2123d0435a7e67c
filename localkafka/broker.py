"""A local Apache Kafka on the loopback interface, as a context manager."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from localkafka import rights
from localkafka.directory import DataDirectory
from localkafka.errors import BadConfigurationError, BrokerError
from localkafka.jars import class_path
from localkafka.node import Java, Node, start_nodes
from localkafka.ports import HOST
from localkafka.properties import server_properties
from localkafka.security import (
    ADMIN,
    CLIENT,
    CONTROLLER,
    ENVIRONMENT,
    Security,
    client_listeners,
    own_listeners,
    secure,
    write_environment,
)

PORT_TAKEN = "Address already in use"
POLL_S = 0.1


class LocalKafka:
    """A broker, or a few, that live as long as their `with` block.

    port: 0 takes a free one, which then stays the same for this object's life.
    data_dir: an empty, new, or earlier data directory; without one the data are temporary and go with `close()`.
    properties: server properties on top of, or instead of, the defaults here.
    low_latency: let the JVM optimise fully, for benchmarks; it starts half a second later.
    tls, sasl: the client port speaks SSL, SASL_PLAINTEXT or, with both, SASL_SSL; `listeners` names further ports,
    and `directory / "client"` holds what a client needs (see `localkafka.security`).
    users: name → password, instead of one user `edge` with a password of chance; only the first has any rights.
    nodes: processes, each broker and controller; with three, what is acknowledged survives the loss of any one. They
    are numbered from 1; a method that takes a node does it to all of them without one.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        data_dir: Path | None = None,
        properties: Mapping[str, str] | None = None,
        low_latency: bool = False,
        tls: bool = False,
        sasl: bool = False,
        users: Mapping[str, str] | None = None,
        nodes: int = 1,
    ) -> None:
        if users is not None and not (tls or sasl):
            raise BadConfigurationError("users need tls or sasl")
        if nodes > 1 and (tls or sasl):
            raise BadConfigurationError("several nodes have no tls or sasl: start one node with them")
        self._directory = DataDirectory(data_dir)
        self._properties = dict(properties or {})
        self._low_latency = low_latency
        self._tls, self._sasl, self._users = tls, sasl, users
        self._nodes = [
            Node(number, port if number == 1 else 0, temporary=data_dir is None) for number in range(1, nodes + 1)
        ]
        self._security: Security | None = None
        self._has_users = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port for clients, of the first node; 0 before the first start when none was given."""
        node = self._nodes[0]
        return next(iter(node.ports.values()), node.given_port)

    @property
    def bootstrap_servers(self) -> str:
        """What clients call `bootstrap_servers`: host and port, on IPv4, of each node."""
        return next(iter(self.listeners.values()), f"{HOST}:{self.port}")

    @property
    def listeners(self) -> dict[str, str]:
        """The bootstrap servers of each listener for clients, by its name; empty before the first start."""
        names = client_listeners(tls=self._tls, sasl=self._sasl) if self._nodes[0].ports else ()
        return {name: ",".join(f"{HOST}:{node.ports[name]}" for node in self._nodes) for name in names}

    @property
    def pid(self) -> int | None:
        """The (first) broker's process id, None when it is stopped."""
        return self._nodes[0].pid

    @property
    def pids(self) -> dict[int, int]:
        """Node → process id, of those that run."""
        return {node.number: node.pid for node in self._nodes if node.pid is not None}

    @property
    def directory(self) -> Path:
        """Where the data, the configuration and `broker.log` are."""
        return self._directory.path

    @property
    def environment(self) -> Path:
        """With tls or sasl: a file to `source`, the options of a client of the main port."""
        return self.directory / CLIENT / ENVIRONMENT

    def start(self, node: int | None = None) -> None:
        """Return when clients can connect; a second start, after `stop` or `kill`, has the same ports and data.

        Raises: BadConfigurationError for a port or data directory that cannot be used, BrokerError for a broker
        that cannot be fetched or does not start.
        """
        stopped = [chosen for chosen in self._chosen(node) if chosen.pid is None]
        if not stopped:
            return
        try:
            self._start(stopped)
        except OSError as error:
            self.close()
            raise BrokerError(f"cannot start Apache Kafka: {error}") from None
        except BaseException:
            self.close()
            raise

    def stop(self, node: int | None = None) -> None:
        """Let the broker shut down in order; its data stay for the next `start`."""
        for chosen in self._chosen(node):
            chosen.terminate()
        self._end(node, Node.stop)

    def kill(self, node: int | None = None) -> None:
        """SIGKILL the broker, as a power cut would; its data stay for the next `start`."""
        self._end(node, Node.kill)

    def pause(self, node: int | None = None) -> None:
        """SIGSTOP the broker: its connections stay open, but nothing is answered until `resume`."""
        for chosen in self._chosen(node):
            chosen.pause()

    def resume(self, node: int | None = None) -> None:
        """SIGCONT the broker."""
        for chosen in self._chosen(node):
            chosen.resume()

    def restart(self) -> None:
        """Stop and start again, on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop for good; temporary data are removed."""
        if self._directory.is_temporary:
            self.kill()
        else:
            self.stop()
        self._directory.remove()

    def wait(self) -> NoReturn:
        """Wait until the broker stops by itself.

        Raises: BrokerError, always.
        """
        running = [node for node in self._nodes if node.pid is not None]
        if not running:
            raise BrokerError("Apache Kafka is not running")
        while True:
            for node in running:
                code = node.poll(POLL_S)
                if code is not None:
                    raise BrokerError(f"Apache Kafka stopped by itself {node.evidence(code)}")

    def allow(self, user: str, resource_type: str, name: str, *operations: str) -> None:
        """Give a user rights, such as `allow("reader", "TOPIC", "prediction_output", "READ", "DESCRIBE")`."""
        rights.add(*self._administration(), rights.rules(user, resource_type, name, operations))

    @contextlib.contextmanager
    def denied(self, user: str, resource_type: str, name: str, *operations: str) -> Iterator[None]:
        """Take rights away for the `with` block, whatever else is allowed; the words are those of `allow`."""
        denials = rights.rules(user, resource_type, name, operations, allow=False)
        rights.add(*self._administration(), denials)
        try:
            yield
        finally:
            rights.remove(*self._administration(), denials)

    def _administration(self) -> tuple[str, Security]:
        if self._security is None:
            raise BadConfigurationError("rights need a running broker with tls or sasl")
        return f"{HOST}:{self._nodes[0].ports[ADMIN]}", self._security

    def _start(self, nodes: list[Node]) -> None:
        classes = os.pathsep.join(map(str, class_path()))
        chosen = [(node, dict(node.ports)) for node in nodes]
        try:
            self._run(nodes, classes)
        except BrokerError as error:
            if PORT_TAKEN not in error.message:
                raise
            # Somebody took a port between its choice and the broker's start: once more, with other free ones.
            for node, ports in chosen:
                node.kill()
                node.ports = ports
            self._run(nodes, classes)

    def _run(self, nodes: list[Node], classes: str) -> None:
        self._choose_ports(nodes)
        cluster = self._directory.take(len(self._nodes))
        if self._tls or self._sasl:
            self._security = self._security or secure(self.directory, tls=self._tls, sasl=self._sasl, users=self._users)
            write_environment(self.directory, self._security, self.bootstrap_servers)
        java = Java(classes, self._low_latency, self._directory.watcher())
        for node in nodes:
            self._prepare(node)
        start_nodes(nodes, java, cluster)
        if self._security is not None and not self._has_users:
            rights.set_up(*self._administration())
            self._has_users = True

    def _prepare(self, node: Node) -> None:
        voters = {other.number: other.ports[CONTROLLER] for other in self._nodes}
        properties = server_properties(node.number, node.ports, voters, self._security)
        directory = self.directory if len(self._nodes) == 1 else self.directory / f"node-{node.number}"
        node.prepare(directory, {**properties, **self._properties})

    def _choose_ports(self, nodes: list[Node]) -> None:
        listeners = [*client_listeners(tls=self._tls, sasl=self._sasl), *own_listeners(self._tls or self._sasl)]
        for node in nodes if self._nodes[0].ports else self._nodes:
            node.choose_ports(listeners, {port for other in self._nodes for port in other.ports.values()})

    def _chosen(self, number: int | None) -> list[Node]:
        chosen = [node for node in self._nodes if number in (None, node.number)]
        if not chosen:
            raise BadConfigurationError(f"there is no node {number}: they are numbered from 1 to {len(self._nodes)}")
        return chosen

    def _end(self, node: int | None, end: Callable[[Node], None]) -> None:
        for chosen in self._chosen(node):
            end(chosen)
        if all(node.pid is None for node in self._nodes):
            self._directory.release()
