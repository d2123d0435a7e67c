"""Tells the log about what happens often without flooding it: the first time at once, then a sum now and then."""

import logging
import time

log = logging.getLogger(__name__)

INTERVAL_S = 10.0


class Tally:
    """Counts one kind of thing; `sentence` takes `count`, how many since the last line, and the last one's `reason`."""

    def __init__(self, sentence: str, interval_s: float = INTERVAL_S) -> None:
        self._sentence = sentence
        self._interval_s = interval_s
        self._untold = 0
        self._reason = ""
        self._due = 0.0

    def note(self, reason: str = "", count: int = 1) -> None:
        """There were more of them."""
        self._untold += count
        self._reason = reason
        self.tell()

    def hold(self) -> None:
        """A line was said: the next one is due an interval later."""
        self._due = time.monotonic() + self._interval_s

    def tell(self, is_last: bool = False) -> None:
        """Log a line when one is due."""
        if self._untold and (is_last or time.monotonic() >= self._due):
            log.warning(self._sentence, {"count": self._untold, "reason": self._reason})
            self._untold = 0
            self.hold()
