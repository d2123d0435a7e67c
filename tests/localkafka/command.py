"""`python -m localkafka` as a process, and what it leaves behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localkafka import KAFKA_VERSION

DEADLINE_S = 60


@contextmanager
def start(directory: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """The command with its temporary files in `directory`; it need not be ready yet."""
    process = subprocess.Popen(
        [sys.executable, "-m", "localkafka", "--port", "0", *options],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def command(directory: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command when it is ready, and the servers that its ready line names."""
    with start(directory, *options) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], DEADLINE_S)[0], "no ready line"
        line = process.stdout.readline()
        assert line.startswith(f"Apache Kafka {KAFKA_VERSION} ready on localhost:")
        yield process, line.split()[-1]


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> int:
    """Send a signal and return the exit code; nothing but the ready line may have come on stdout."""
    process.send_signal(number)
    code = process.wait(DEADLINE_S)
    assert process.stdout is not None
    assert process.stdout.read() == ""
    return code


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


def processes_of(directory: Path, main: str = "") -> list[Path]:
    """The processes that work in, or were started for, a directory; of those, the ones that run a Java class."""

    def belongs(process: Path) -> bool:
        try:
            command = (process / "cmdline").read_bytes()
            here = str((process / "cwd").readlink()).startswith(str(directory))
            return main.encode() in command and (here or str(directory).encode() in command)
        except OSError:
            return False

    return [process for process in Path("/proc").glob("[0-9]*") if belongs(process)]
