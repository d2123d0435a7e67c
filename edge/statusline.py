"""A line on stderr that is drawn again and again on a terminal, below whatever else is written there."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TextIO, cast

from edge import logs
from edge.terminal import clipped, is_terminal, size_of

DRAW_S = 0.25
PLAIN_S = 5.0
ERASE = "\r\x1b[K"


def can_draw() -> bool:
    """Whether stderr is a terminal on which a line can be drawn; where the log is JSON, it is left to that."""
    return is_terminal(sys.stderr, os.environ) and not logs.is_json()


class StatusLine:
    """Asks `text` for its line on a thread of its own, every DRAW_S; where nothing can be drawn, every PLAIN_S.

    There, an unchanged text is not written again. The cursor is never hidden and colours are never set: however the
    process ends, the terminal is as it was.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._drawn = ""
        self._is_drawing = can_draw()
        self._stream = sys.stderr
        self._handlers = list[logging.StreamHandler[TextIO]]()
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def __enter__(self) -> Self:
        if self._is_drawing:
            sys.stderr = cast(TextIO, _Above(self, self._stream))
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is self._stream:
                    self._handlers.append(handler)
                    handler.setStream(sys.stderr)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        sys.stderr = self._stream
        for handler in self._handlers:
            handler.setStream(self._stream)
        self._draw("")

    @contextmanager
    def above(self) -> Iterator[None]:
        """Within this, others may write: the line is away, and comes back below."""
        with self._lock:
            drawn = self._drawn
            self._draw("")
            try:
                yield
            finally:
                self._draw(drawn)

    def _run(self) -> None:
        told = ""
        while not self._end.wait(DRAW_S if self._is_drawing else PLAIN_S):
            text = self._text()
            if self._is_drawing:
                self._draw(clipped(text, size_of(self._stream)[0] - 1))
            elif text != told:
                logs.say(text)
            told = text

    def _draw(self, text: str) -> None:
        with self._lock:
            if text or self._drawn:
                self._stream.write(ERASE + text)
                self._stream.flush()
            self._drawn = text


class _Above:
    """stderr, above the line."""

    def __init__(self, line: StatusLine, stream: TextIO) -> None:
        self._line = line
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write above the line."""
        with self._line.above():
            return self._stream.write(text)
