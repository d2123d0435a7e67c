"""Several processes at a time, none of which outlives whoever started them."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.paths import ROOT

AT_A_TIME = 2


@contextmanager
def started(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str], outputs: Sequence[Path | None]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes in the repository; leaving the context kills those that still run.

    What one prints goes into its file, or where this process's goes.
    """
    with ExitStack() as stack:
        running = []
        for command, path in zip(commands, outputs, strict=True):
            output = None if path is None else stack.enter_context(path.open("wb"))
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
            running.append(stack.enter_context(process))
            stack.callback(process.kill)
        yield running
