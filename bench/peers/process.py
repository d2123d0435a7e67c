"""One process of a system under test, its words in a file."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.apps import App
from bench.errors import AppError
from bench.peers.environments import ROOT
from localkafka.jvm import FOREIGN_OPTIONS, last_lines


class Process(App):
    """A command that answers requests until it is told to stop; the driver looks after it as after our apps."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.module = name
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**_neutral(os.environ), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def check(self) -> None:
        """Raise AppError, with its last words, when it is no longer running."""
        code = self.process.poll()
        if code is not None:
            raise AppError(f"{self.module} ended by itself with exit code {code}; its last words:\n{self.words()}")

    def words(self) -> str:
        """The end of what it has written."""
        return last_lines(self._log)


def _neutral(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would lead our apps, Python or Java elsewhere: all systems run as they do by default."""
    own = (*FOREIGN_OPTIONS, "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in environment.items() if name not in own and not name.startswith("EDGE_")}
