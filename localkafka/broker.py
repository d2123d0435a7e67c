"""A single-node Apache Kafka on the loopback interface, as a context manager."""

import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self

from localkafka.errors import BadConfigurationError, BrokerError
from localkafka.jars import class_path
from localkafka.jvm import Jvm, last_lines

HOST = "127.0.0.1"
START_TIMEOUT_S = 120
NEEDED_BYTES = 100 * 1024 * 1024
# Below the ports that systems give to outgoing connections: a client that keeps trying a dead broker's port in that
# range can end up connected to itself, and then the broker cannot have its port back.
FREE_PORTS = range(20_000, 32_000)

# All names are relative to the data directory, the broker's working directory: Java reads properties as Latin-1.
LOCK, PROPERTIES, LOGGING, LOG = "localkafka.lock", "server.properties", "log4j2.properties", "broker.log"
DATA, UNFINISHED_DATA, TEMPORARY = "data", "data.new", "tmp"

READY = b"Kafka Server started"
PORT_TAKEN = "Address already in use"

DEFAULTS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    # A killed broker is let in again only when its old session has ended: after 9 s by default.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
}

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


class LocalKafka:
    """A broker that lives as long as its `with` block.

    port: 0 takes a free one, which then stays the same for this object's life.
    data_dir: an empty, new, or earlier data directory; without one the data are temporary and go with `close()`.
    properties: server properties on top of, or instead of, the defaults here.
    low_latency: let the JVM optimise fully, for benchmarks; it starts half a second later.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        data_dir: Path | None = None,
        properties: Mapping[str, str] | None = None,
        low_latency: bool = False,
    ) -> None:
        self._port = port
        self._data_dir = data_dir
        self._properties = dict(properties or {})
        self._low_latency = low_latency
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        self._jvm: Jvm | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port for clients; 0 before the first start when none was given."""
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """What clients call `bootstrap_servers`: host and port, on IPv4."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id, None when it is stopped."""
        return None if self._jvm is None else self._jvm.pid

    @property
    def directory(self) -> Path:
        """Where the data, the configuration and `broker.log` are."""
        if self._data_dir is not None:
            return self._data_dir.absolute()
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="localkafka-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)

    def start(self) -> None:
        """Return when clients can connect; a second start, after `stop` or `kill`, has the same port and data.

        Raises: BadConfigurationError for a port or data directory that cannot be used, BrokerError for a broker
        that cannot be fetched or does not start.
        """
        if self._jvm is not None:
            return
        try:
            self._start()
        except OSError as error:
            self.close()
            raise BrokerError(f"cannot start Apache Kafka: {error}") from None
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Let the broker shut down in order; its data stay for the next `start`."""
        self._end(Jvm.stop)

    def kill(self) -> None:
        """SIGKILL the broker, as a power cut would; its data stay for the next `start`."""
        self._end(Jvm.kill)

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

    def wait(self) -> NoReturn:
        """Wait until the broker stops by itself.

        Raises: BrokerError, always.
        """
        if self._jvm is None:
            raise BrokerError("Apache Kafka is not running")
        code = self._jvm.wait()
        raise BrokerError(f"Apache Kafka stopped by itself {self._evidence(code)}")

    def _start(self) -> None:
        classes = os.pathsep.join(map(str, class_path()))
        wanted = self._port
        try:
            self._run_broker(classes)
        except BrokerError as error:
            if PORT_TAKEN not in error.message:
                raise
            # Somebody took a port between its choice and the broker's start: once more, with other free ones.
            self.kill()
            self._port = wanted
            self._run_broker(classes)

    def _check_port(self) -> None:
        if self._port == 0:
            self._port = _free_port()
        else:
            try:
                _bind(self._port)
            except OSError as error:
                reason = error.strerror or error
                raise BadConfigurationError(
                    f"port {self._port} cannot be used ({reason}): stop what listens there, or choose another port"
                ) from None

    def _take_directory(self) -> None:
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

    def _run_broker(self, classes: str) -> None:
        self._check_port()
        self._take_directory()
        directory = self.directory
        (directory / LOGGING).write_text(LOG4J2, "ascii")
        shutil.rmtree(directory / TEMPORARY, ignore_errors=True)
        (directory / TEMPORARY).mkdir()
        if not (directory / DATA).exists():
            self._format(classes)
        self._write_properties(DATA)
        self._run_java(classes, "kafka.Kafka", PROPERTIES)
        self._wait_until_ready()

    def _format(self, classes: str) -> None:
        """Write the metadata of a new cluster; the rename makes an interrupted one start afresh."""
        shutil.rmtree(self.directory / UNFINISHED_DATA, ignore_errors=True)
        self._write_properties(UNFINISHED_DATA)
        # The fixed first bytes keep a '-' from the front, which the tool would take for an option.
        cluster = base64.urlsafe_b64encode(b"lk" + secrets.token_bytes(14)).decode("ascii").rstrip("=")
        jvm = self._run_java(classes, "kafka.tools.StorageTool", "format", "-c", PROPERTIES, "-t", cluster)
        try:
            code = jvm.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BrokerError(f"the data directory took longer than {START_TIMEOUT_S} s to format") from None
        if code != 0:
            raise BrokerError(f"Apache Kafka cannot format its data directory {self._evidence(code)}")
        self._jvm = None
        jvm.kill()
        (self.directory / UNFINISHED_DATA).rename(self.directory / DATA)

    def _write_properties(self, data: str) -> None:
        controller = _free_port(besides=self._port)
        listener = f"PLAINTEXT://{self.bootstrap_servers}"
        properties = {
            **DEFAULTS,
            "listeners": f"{listener},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": listener,
            # Voters by configuration, not in the metadata: the controller may have another port at every start.
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "log.dirs": data,
            **self._properties,
        }
        # JSON escapes as Java's properties do: backslashes, line ends, and all that is not ASCII.
        lines = [f"{name}={json.dumps(value)[1:-1]}\n" for name, value in properties.items()]
        (self.directory / PROPERTIES).write_text("".join(lines), "ascii")

    def _run_java(self, classes: str, *main: str) -> Jvm:
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "--sun-misc-unsafe-memory-access=allow"]
        if not self._low_latency:
            options.append("-XX:TieredStopAtLevel=1")
        files = [f"-Djava.io.tmpdir={TEMPORARY}", f"-Dlog4j2.configurationFile={LOGGING}"]
        arguments = [*options, *files, "-cp", classes, *main]
        self._jvm = Jvm(arguments, self.directory, self.directory / LOG, temporary=self._data_dir is None)
        return self._jvm

    def _wait_until_ready(self) -> None:
        """Wait for the broker's own word, which it gives when it is registered and answers requests."""
        assert self._jvm is not None  # noqa: S101 for mypy
        log = self.directory / LOG
        deadline = time.monotonic() + START_TIMEOUT_S
        while READY not in log.read_bytes():
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._jvm.wait(0.02)
                raise BrokerError(f"Apache Kafka did not start {self._evidence(code)}")
            if time.monotonic() > deadline:
                raise BrokerError(f"Apache Kafka was not ready after {START_TIMEOUT_S} s {self._evidence(None)}")

    def _evidence(self, code: int | None) -> str:
        ended = "" if code is None else f"(exit code {code}); "
        kept = "" if self._data_dir is None else f" of {self.directory / LOG}"
        return f"{ended}the last lines{kept or ' of its log'} are:\n{last_lines(self.directory / LOG)}"

    def _end(self, end: Callable[[Jvm], None]) -> None:
        if self._jvm is not None:
            end(self._jvm)
            self._jvm = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _free_port(besides: int = 0) -> int:
    for _ in range(100):
        port = secrets.choice(FREE_PORTS)
        with contextlib.suppress(OSError):
            if port != besides:
                _bind(port)
                return port
    raise BrokerError(f"found no free port from {FREE_PORTS.start} to {FREE_PORTS.stop}")


def _bind(port: int) -> None:
    """Bind and release a port, with the option that Java sets too; raises OSError when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
