"""How far `edge.query --limit` has come: a bar on stderr, where that is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from edge.outbox import Outbox
from edge.sensed import Sensed
from edge.statusline import StatusLine, can_draw

WIDTH = 30
FULL, EMPTY = "#", "-"


class Counted:
    """An outbox that counts what a limit counts: also images that it did not take, unless they come again."""

    def __init__(self, outbox: Outbox, is_lasting: bool) -> None:
        self.done = 0
        self._outbox = outbox
        self._is_lasting = is_lasting

    def offer(self, image: Sensed) -> bool:
        """Pass an image on."""
        is_taken = self._outbox.offer(image)
        self.done += is_taken or not self._is_lasting
        return is_taken

    def accepted(self) -> Iterator[str]:
        """As the outbox says."""
        return self._outbox.accepted()

    def check(self) -> None:
        """As the outbox does."""
        self._outbox.check()

    def finish(self, is_whole: bool) -> None:
        """As the outbox does."""
        self._outbox.finish(is_whole)

    @property
    def left(self) -> int:
        """As the outbox says."""
        return self._outbox.left

    @property
    def summary(self) -> str:
        """As the outbox says."""
        return self._outbox.summary


def bar(done: int, limit: int, left: int) -> str:
    """So many of `limit` images are done, and `left` have yet to reach Kafka."""
    full = WIDTH * done // limit
    return f"[{FULL * full}{EMPTY * (WIDTH - full)}] {done} of {limit} images, {left} not with Kafka yet"


@contextmanager
def progress(outbox: Outbox, is_lasting: bool, limit: int) -> Iterator[Outbox]:
    """Shows how far it has come while it lasts, of what goes into the outbox that is returned.

    `is_lasting`: whether an image that is not taken comes again.
    """
    if not can_draw():
        yield outbox
        return
    counted = Counted(outbox, is_lasting)
    with StatusLine(lambda: bar(counted.done, limit, counted.left)):
        yield counted
