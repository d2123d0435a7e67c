"""Tells the log about what happens often without flooding it: the first time at once, then a sum now and then."""

import logging
import time

log = logging.getLogger(__name__)

INTERVAL_S = 10.0


class Tally:
    """Counts one kind of thing; `sentence` takes how many there were since the last line, and the last reason."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        self._untold = 0
        self._reason = ""
        self._due = 0.0

    def note(self, reason: str, count: int = 1) -> None:
        """There were more of them."""
        self._untold += count
        self._reason = reason
        self.tell()

    def tell(self, is_last: bool = False) -> None:
        """Log a line when one is due."""
        if self._untold and (is_last or time.monotonic() >= self._due):
            log.warning(self._sentence, self._untold, self._reason)
            self._untold = 0
            self._due = time.monotonic() + INTERVAL_S
