"""One node of a local Kafka, broker and controller in one: its directory, its ports and its process."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from localkafka.errors import BrokerError
from localkafka.jvm import Jvm, Watcher, last_lines
from localkafka.ports import check_port, free_port
from localkafka.properties import LOG4J2, write_properties

START_TIMEOUT_S = 120

# All names are relative to the node's directory, the process's working directory: Java reads properties as Latin-1.
PROPERTIES, LOGGING, LOG = "server.properties", "log4j2.properties", "broker.log"
DATA, UNFINISHED_DATA, TEMPORARY = "data", "data.new", "tmp"
READY = b"Kafka Server started"


@dataclass(frozen=True)
class Java:
    """How a node's Java runs: its class path, its options, and who kills it when this process dies."""

    classes: str
    low_latency: bool
    watcher: Watcher

    def run(self, directory: Path, *main: str) -> Jvm:
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "--sun-misc-unsafe-memory-access=allow"]
        if not self.low_latency:
            options.append("-XX:TieredStopAtLevel=1")
        files = [f"-Djava.io.tmpdir={TEMPORARY}", f"-Dlog4j2.configurationFile={LOGGING}"]
        return Jvm([*options, *files, "-cp", self.classes, *main], directory, directory / LOG, self.watcher)


class Node:
    """A node that is formatted once and then run, any number of times, on the same ports and data."""

    def __init__(self, number: int, port: int, *, temporary: bool) -> None:
        self.number = number
        self._temporary = temporary
        self.given_port = port
        self.ports: dict[str, int] = {}
        self._jvm: Jvm | None = None
        self._directory = Path()

    @property
    def pid(self) -> int | None:
        """Its process id, None when it does not run."""
        return None if self._jvm is None else self._jvm.pid

    def choose_ports(self, listeners: Collection[str], besides: Collection[int]) -> None:
        """Take a free port for each listener, the given one for the first; later calls check that they are free.

        Raises: BadConfigurationError when one is taken.
        """
        wanted = {next(iter(listeners)): self.given_port} | self.ports
        for listener in listeners:
            port = wanted.get(listener, 0)
            if port:
                check_port(port)
            self.ports[listener] = port or free_port({*besides, *self.ports.values()})

    def prepare(self, directory: Path, properties: Mapping[str, str]) -> None:
        """Write what Java reads."""
        self._directory = directory
        directory.mkdir(exist_ok=True)
        (directory / LOGGING).write_text(LOG4J2, "ascii")
        shutil.rmtree(directory / TEMPORARY, ignore_errors=True)
        (directory / TEMPORARY).mkdir()
        self._properties = dict(properties)

    def begin_format(self, java: Java, cluster: str) -> None:
        """Start to write the metadata of a new cluster, if the node has none yet."""
        if (self._directory / DATA).exists():
            return
        shutil.rmtree(self._directory / UNFINISHED_DATA, ignore_errors=True)
        write_properties(self._directory / PROPERTIES, {"log.dirs": UNFINISHED_DATA, **self._properties})
        tool = "kafka.tools.StorageTool"
        self._jvm = java.run(self._directory, tool, "format", "-c", PROPERTIES, "-t", cluster)

    def end_format(self) -> None:
        """Wait for it; the rename makes an interrupted one start afresh."""
        if self._jvm is None:
            return
        try:
            code = self._jvm.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BrokerError(f"the data directory took longer than {START_TIMEOUT_S} s to format") from None
        if code != 0:
            raise BrokerError(f"Apache Kafka cannot format its data directory {self.evidence(code)}")
        self.kill()
        (self._directory / UNFINISHED_DATA).rename(self._directory / DATA)

    def run(self, java: Java) -> None:
        """Start the process."""
        write_properties(self._directory / PROPERTIES, {"log.dirs": DATA, **self._properties})
        self._jvm = java.run(self._directory, "kafka.Kafka", PROPERTIES)

    def wait_until_ready(self) -> None:
        """Wait for the broker's own word, which it gives when it is registered and answers requests."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while READY not in (self._directory / LOG).read_bytes():
            code = self.poll(0.02)
            if code is not None:
                raise BrokerError(f"Apache Kafka did not start {self.evidence(code)}")
            if time.monotonic() > deadline:
                raise BrokerError(f"Apache Kafka was not ready after {START_TIMEOUT_S} s {self.evidence(None)}")

    def poll(self, timeout_s: float) -> int | None:
        """The exit code of a process that ends by itself within the time, else None."""
        if self._jvm is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._jvm.wait(timeout_s)
        return None

    def terminate(self) -> None:
        """SIGTERM."""
        if self._jvm is not None:
            self._jvm.terminate()

    def stop(self) -> None:
        """Wait until it has shut down in order."""
        if self._jvm is not None:
            self._jvm.stop()
            self._jvm = None

    def kill(self) -> None:
        """SIGKILL."""
        if self._jvm is not None:
            self._jvm.kill()
            self._jvm = None

    def pause(self) -> None:
        """SIGSTOP."""
        if self._jvm is not None:
            self._jvm.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self._jvm is not None:
            self._jvm.resume()

    def evidence(self, code: int | None) -> str:
        """How it ended, and the last lines of its log."""
        ended = "" if code is None else f"(exit code {code}); "
        log = self._directory / LOG
        kept = "its log" if self._temporary else log
        return f"{ended}the last lines of {kept} are:\n{last_lines(log)}"


def start_nodes(nodes: Collection[Node], java: Java, cluster: str) -> None:
    """Format those that need it, then run all; side by side, for a quorum of them is ready only together."""
    for node in nodes:
        node.begin_format(java, cluster)
    for node in nodes:
        node.end_format()
    for node in nodes:
        node.run(java)
    for node in nodes:
        node.wait_until_ready()
