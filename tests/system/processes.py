"""Runs the apps as an operator does, and waits for what they do."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.paths import ROOT

DEADLINE_S, COMMAND_DEADLINE_S = 60.0, 300.0
_LAST_WORDS, _LAST_WORDS_S = 80, 5.0


class Process:
    """One app, `python -m <module>`; its output is collected as it comes."""

    def __init__(self, module: str, *options: str, **environment: str) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._collect, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        code = self.process.poll()
        if error is not None and code is None:
            # On this signal it says where each of its threads stands.
            self.process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_LAST_WORDS_S)
        # The whole session: what an app has started would hold its output open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        if error is not None:
            state = "was running" if code is None else f"had ended with {code}"
            error.add_note("\n".join([f"{self.process.args!r} {state}, and said:", *self.errors[-_LAST_WORDS:]]))

    @property
    def log(self) -> str:
        """What came on stderr so far."""
        return "\n".join(self.errors)

    def end(self, number: int | None = None, deadline_s: float = DEADLINE_S) -> int:
        """Send a signal, if any, and return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.process.args!r} did not end:\n" + "\n".join([*self.lines, self.log]))
        for reader in self._readers:
            reader.join()
        return code

    def terminate(self) -> int:
        """End it as systemd does."""
        return self.end(signal.SIGTERM)

    def kill(self) -> int:
        """End it as the OOM killer does."""
        return self.end(signal.SIGKILL)

    @staticmethod
    def _collect(stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))


def run(module: str, *options: str, **environment: str) -> Process:
    """Run an app to its end; `process.returncode`, `lines` and `log` say how it went."""
    with Process(module, *options, **environment) as app:
        app.end(deadline_s=COMMAND_DEADLINE_S)
    return app


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, or fail saying what did not come; one look that takes long does not decide."""
    deadline, is_late = time.monotonic() + deadline_s, False
    while not condition():
        assert not is_late, f"{what} did not come within {deadline_s:.0f} s"
        time.sleep(0.05)
        is_late = time.monotonic() > deadline
