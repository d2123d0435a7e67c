"""The live line of a run: rewritten on a terminal, one every few seconds elsewhere."""

import sys
import time
from collections import Counter

import click

from tests.faults.experiment import Plan, Progress


class Line:
    """What a run reports to; shows it when it is time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._next = 0.0
        self._started = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        now, is_terminal = time.monotonic(), sys.stderr.isatty()
        if now < self._next:
            return
        self._next = now + (0.2 if is_terminal else 5.0)
        faults = Counter(fault.name for fault in progress.injected)
        line = (
            f"{now - self._started:5.0f} s: {progress.sent} of {self._plan.requests} sent, "
            f"{progress.acknowledged} acknowledged, {len(progress.answered)} answered, "
            f"{progress.dead_letters} dead letters; {', '.join(f'{n} x {name}' for name, n in faults.items())}"
        )
        click.echo(f"\r\033[K{line}" if is_terminal else line, err=True, nl=not is_terminal)
