"""A local Apache Kafka on the loopback interface, as a context manager."""

import base64
import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self

from localkafka import rights
from localkafka.errors import BadConfigurationError, BrokerError
from localkafka.jars import class_path
from localkafka.jvm import Watcher
from localkafka.node import Java, Node
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

NEEDED_BYTES = 100 * 1024 * 1024
LOCK = "localkafka.lock"
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
    ) -> None:
        if users is not None and not (tls or sasl):
            raise BadConfigurationError("users need tls or sasl")
        self._data_dir = data_dir
        self._properties = dict(properties or {})
        self._low_latency = low_latency
        self._tls, self._sasl, self._users = tls, sasl, users
        self._nodes = [Node(1, port, temporary=data_dir is None)]
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._watcher: Watcher | None = None
        self._lock: IO[str] | None = None
        self._security: Security | None = None
        self._has_users = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port for clients; 0 before the first start when none was given."""
        node = self._nodes[0]
        return next(iter(node.ports.values()), node.given_port)

    @property
    def bootstrap_servers(self) -> str:
        """What clients call `bootstrap_servers`: host and port, on IPv4."""
        return f"{HOST}:{self.port}"

    @property
    def listeners(self) -> dict[str, str]:
        """The bootstrap servers of each listener for clients, by its name; empty before the first start."""
        names = client_listeners(tls=self._tls, sasl=self._sasl) if self._nodes[0].ports else ()
        return {name: ",".join(f"{HOST}:{node.ports[name]}" for node in self._nodes) for name in names}

    @property
    def pid(self) -> int | None:
        """The broker's process id, None when it is stopped."""
        return self._nodes[0].pid

    @property
    def directory(self) -> Path:
        """Where the data, the configuration and `broker.log` are."""
        if self._data_dir is not None:
            return self._data_dir.absolute()
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="localkafka-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)

    @property
    def environment(self) -> Path:
        """With tls or sasl: a file to `source`, the options of a client of the main port."""
        return self.directory / CLIENT / ENVIRONMENT

    def start(self) -> None:
        """Return when clients can connect; a second start, after `stop` or `kill`, has the same ports and data.

        Raises: BadConfigurationError for a port or data directory that cannot be used, BrokerError for a broker
        that cannot be fetched or does not start.
        """
        try:
            self._start([node for node in self._nodes if node.pid is None])
        except OSError as error:
            self.close()
            raise BrokerError(f"cannot start Apache Kafka: {error}") from None
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Let the broker shut down in order; its data stay for the next `start`."""
        self._end(Node.stop)

    def kill(self) -> None:
        """SIGKILL the broker, as a power cut would; its data stay for the next `start`."""
        self._end(Node.kill)

    def restart(self) -> None:
        """Stop and start again, on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop for good; temporary data are removed."""
        if self._data_dir is None:
            self.kill()
        else:
            self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        if self._watcher is not None:
            self._watcher.end()
            self._watcher = None

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
        java_classes = os.pathsep.join(map(str, class_path()))
        chosen = [(node, dict(node.ports)) for node in nodes]
        try:
            self._run(nodes, java_classes)
        except BrokerError as error:
            if PORT_TAKEN not in error.message:
                raise
            # Somebody took a port between its choice and the broker's start: once more, with other free ones.
            for node, ports in chosen:
                node.kill()
                node.ports = ports
            self._run(nodes, java_classes)

    def _run(self, nodes: list[Node], classes: str) -> None:
        directory = self.directory
        self._choose_ports(nodes)
        self._take_directory()
        if self._tls or self._sasl:
            self._security = self._security or secure(directory, tls=self._tls, sasl=self._sasl, users=self._users)
            write_environment(directory, self._security, self.bootstrap_servers)
        if self._watcher is None:
            self._watcher = Watcher(directory if self._data_dir is None else None)
        java = Java(classes, self._low_latency, self._watcher)
        voters = {node.number: node.ports[CONTROLLER] for node in self._nodes}
        # The fixed first bytes keep a '-' from the front, which the tool would take for an option.
        cluster = base64.urlsafe_b64encode(b"lk" + secrets.token_bytes(14)).decode("ascii").rstrip("=")
        for node in nodes:
            properties = server_properties(node.number, node.ports, voters, self._security)
            node.prepare(directory, {**properties, **self._properties})
            node.begin_format(java, cluster)
        for node in nodes:
            node.end_format()
        for node in nodes:
            node.run(java)
        for node in nodes:
            node.wait_until_ready()
        if self._security is not None and not self._has_users:
            rights.set_up(*self._administration())
            self._has_users = True

    def _choose_ports(self, nodes: list[Node]) -> None:
        listeners = [*client_listeners(tls=self._tls, sasl=self._sasl), *own_listeners(self._tls or self._sasl)]
        for node in nodes:
            node.choose_ports(listeners, {port for other in self._nodes for port in other.ports.values()})

    def _take_directory(self) -> None:
        if self._lock is not None:
            return
        directory = self.directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in directory.iterdir()}
            if names and LOCK not in names:
                raise BadConfigurationError(f"{directory} holds other files: name an empty or a new data directory")
            self._lock = (directory / LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadConfigurationError(f"{directory} is in use by another localkafka: stop it first") from None
        except OSError as error:
            raise BadConfigurationError(f"cannot use the data directory {directory}: {error.strerror}") from None
        free = shutil.disk_usage(directory).free
        if free < NEEDED_BYTES:
            raise BrokerError(f"{directory} has {free >> 20} MB left; Apache Kafka needs {NEEDED_BYTES >> 20} MB")

    def _end(self, end: Callable[[Node], None]) -> None:
        for node in self._nodes:
            end(node)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
