"""The classifiers under test, on topics of their own: started, killed, stopped, and restarted when they end."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edge.codec import REQUEST_TOPIC_CONFIG
from edge.pubsub import connect
from tests.faults.cluster import Cluster
from tests.system.processes import Process
from tests.system.wire import Wire, wire_on

START_S, STOP_S = 60.0, 30.0


@dataclass(frozen=True)
class Exit:
    """A classifier that ended by itself, or not as it should; `code` is None for one that had to be killed."""

    member: int
    code: int | None
    last_line: str

    def __str__(self) -> str:
        what = "did not end" if self.code is None else f"ended with {self.code}"
        return f"{what}, and said last: {self.last_line}"


class Member:
    """One place in the group: a classifier, and the one that follows when it is killed or ends."""

    def __init__(self, number: int, options: Sequence[str]) -> None:
        self.number = number
        self.lock = threading.Lock()
        self.log: list[str] = []
        self._options = options
        self.process: Process | None = None

    def start(self) -> int:
        """Start a classifier; returns when, in nanoseconds since 1970."""
        started = time.time_ns()
        self.process = Process("edge.classifier", *self._options)
        return started

    def kill(self) -> None:
        """SIGKILL."""
        self.end(signal.SIGKILL)

    def end(self, number: int) -> int | None:
        """Send a signal; returns the exit code, None for one that had to be killed."""
        process, self.process = self.process, None
        return 0 if process is None else self._end(process, number)

    def replace(self, hold: Callable[[], None]) -> tuple[int, int | None]:
        """SIGSTOP, start another of the same name, and wake the first one, which must find out and end.

        Returns when the other was started, and the first one's exit code, None for one that went on.
        """
        first = self.process
        assert first is not None
        first.process.send_signal(signal.SIGSTOP)
        try:
            started = self.start()
            hold()
        finally:
            code = self._end(first, signal.SIGCONT)
        return started, code

    def _end(self, process: Process, number: int) -> int | None:
        with process:
            process.process.send_signal(number)
            try:
                code: int | None = process.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                code = None
        self.log += process.errors
        return code

    def wait_for_partitions(self, timeout_s: float) -> bool:
        """Whether this process has joined its group in time."""
        deadline = time.monotonic() + timeout_s
        while self.process is not None and "partitions assigned" not in self.process.log:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """SIGSTOP for as long as the context."""
        assert self.process is not None
        pid = self.process.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


class Stage:
    """Fresh topics, and a group of classifiers on them, reached directly or through the proxy."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        partitions: int,
        classifiers: int,
        options: Sequence[str],
        named: bool,
        proxied: bool,
    ) -> None:
        self.cluster = cluster
        self.exits: list[Exit] = []
        self.wire: Wire = wire_on(cluster.kafka)
        self._partitions = partitions
        self._options = options
        self._named = named
        self._servers = cluster.proxied_servers if proxied else cluster.servers
        self.members = [self._member(number) for number in range(classifiers)]

    def __enter__(self) -> "Stage":
        self._create_topics()
        for member in self.members:
            member.start()
        assert all(member.wait_for_partitions(START_S) for member in self.members), "the classifiers did not start"
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.kill()

    def guest(self) -> Member:
        """One more member, who is not of the family: whoever asks for it starts and ends it."""
        return self._member(len(self.members))

    def restart_the_ended(self) -> None:
        """Do as an operator's supervisor does, and note each classifier that ended by itself."""
        for member in self.members:
            if not member.lock.acquire(blocking=False):
                continue
            try:
                if member.process is not None and (code := member.process.process.poll()) is not None:
                    lines = list(member.process.errors)
                    member.kill()
                    self.exits.append(Exit(member.number, code, lines[-1] if lines else ""))
                    member.start()
            finally:
                member.lock.release()

    def stop(self) -> None:
        """SIGTERM all classifiers, and note those that do not end with 0."""
        for member in self.members:
            self.stop_member(member)

    def stop_member(self, member: Member) -> None:
        """SIGTERM one."""
        code = member.end(signal.SIGTERM)
        if code != 0:
            self.exits.append(Exit(member.number, code, member.log[-1] if member.log else ""))

    def _member(self, number: int) -> Member:
        wire = replace(self.wire, servers=self._servers)
        named = ["--instance-id", f"{self.wire.group}-{number}"] if self._named else []
        return Member(number, [*wire.classifier, *named, *self._options])

    def _create_topics(self) -> None:
        # The broker's clock says when a prediction was really there.
        appended = {"message.timestamp.type": "LogAppendTime"}
        with connect(self.cluster.servers) as pubsub:
            pubsub.create_topic(self.wire.requests, self._partitions, {**REQUEST_TOPIC_CONFIG, **appended})
            pubsub.create_topic(self.wire.predictions, self._partitions, appended)
            pubsub.create_topic(self.wire.dead_letters, 1, appended)
