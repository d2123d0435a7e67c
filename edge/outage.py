"""What an app does while something is away: says so once, says once that it is back, tries again ever less often."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from edge.errors import StoppedError

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
FIRST_RETRY_S, LAST_RETRY_S = 0.1, 3.0

Result = TypeVar("Result")
Trouble = type[Exception] | tuple[type[Exception], ...]


class Outage:
    """One thing that can be away; only what lasts longer than PATIENCE_S is worth a line.

    `away` and `back` are whole sentences; the reason and the duration are put behind them.
    """

    def __init__(self, away: str, back: str) -> None:
        self._away = away
        self._back = back
        self._since: float | None = None
        self._is_told = False

    @property
    def duration_s(self) -> float:
        """How long it has been away, 0 when it is there."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def note(self, is_away: bool, reason: object = "") -> None:
        """Take in how it is now; call this often."""
        if is_away:
            self._since = self._since or time.monotonic()
            if not self._is_told and self.duration_s >= PATIENCE_S:
                self._is_told = True
                log.warning("%s", f"{self._away} ({reason})" if reason else self._away)
            return
        if self._is_told:
            log.info("%s after %.1f s", self._back, self.duration_s)
        self._since, self._is_told = None, False


class Retry:
    """When to try again: at intervals that double from FIRST_RETRY_S to LAST_RETRY_S, each with jitter."""

    def __init__(self) -> None:
        self._interval_s = FIRST_RETRY_S
        self._next = 0.0

    @property
    def wait_s(self) -> float:
        """How long until the next try."""
        return max(0.0, self._next - time.monotonic())

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next try."""
        return self.wait_s == 0.0

    def failed(self) -> None:
        """The try failed: the next one comes later, and not together with everybody else's."""
        self._next = time.monotonic() + self._interval_s * random.uniform(0.5, 1.0)  # noqa: S311 no secret
        self._interval_s = min(2 * self._interval_s, LAST_RETRY_S)

    def succeeded(self) -> None:
        """It works: the next failure is the first of its kind."""
        self._interval_s, self._next = FIRST_RETRY_S, 0.0


def patiently(action: Callable[[], Result], trouble: Trouble, patience_s: float, stop: threading.Event) -> Result:
    """Do it, again and again while that raises one of `trouble`, for so long.

    Raises: the last of them, or StoppedError.
    """
    deadline, retry = time.monotonic() + patience_s, Retry()
    while True:
        try:
            return action()
        except trouble:
            retry.failed()
            if time.monotonic() >= deadline:
                raise
            if stop.wait(retry.wait_s):
                raise StoppedError("stopped while waiting for Kafka") from None
