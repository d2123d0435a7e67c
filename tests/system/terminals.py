"""Runs an app on a terminal of its own, as a person does."""

import os
import pty
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

from tests.paths import ROOT
from tests.system.processes import DEADLINE_S

# The first terminal that the leader of a new session opens becomes its own: Ctrl-C goes that way.
_ON_IT = 'exec "$@" <>"$0" >&0 2>&0'
_ENDED = b"[ended]"


class OnTerminal:
    """`python -m <module>` on a terminal of 100 columns and 40 lines; `screen` is all that came, byte for byte."""

    def __init__(self, module: str, *options: str, stdout: Path | None = None, **environment: str) -> None:
        """With `stdout`, that goes into a file and not to the terminal."""
        self._master, self._slave = pty.openpty()
        termios.tcsetwinsize(self._slave, (40, 100))
        self.modes: list[Any] = termios.tcgetattr(self._slave)
        command = [sys.executable, "-m", module, *options]
        script = _ON_IT if stdout is None else f'{_ON_IT} >"{stdout}"'
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", script, os.ttyname(self._slave), *command],
            cwd=ROOT,
            env={**inherited, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        self._screen = bytearray()
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    @property
    def screen(self) -> str:
        """What the app has written."""
        return self._screen.decode()

    def __enter__(self) -> "OnTerminal":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.process.kill()
        self.process.wait()
        # What ends the reading: a terminal does not, as long as somebody has it open.
        os.write(self._slave, _ENDED)
        self._reader.join()
        os.close(self._slave)
        os.close(self._master)
        if error is not None:
            error.add_note(f"{self.process.args!r} wrote:\n{self.screen!r}")

    def press_ctrl_c(self) -> None:
        """As on a keyboard."""
        os.write(self._master, b"\x03")

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        return self.process.wait(DEADLINE_S)

    def is_as_it_was(self) -> bool:
        """Whether the terminal's modes are those that it had."""
        return termios.tcgetattr(self._slave) == self.modes

    def _collect(self) -> None:
        while not self._screen.endswith(_ENDED):
            self._screen += os.read(self._master, 65536)
        del self._screen[-len(_ENDED) :]
