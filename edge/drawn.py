"""Draws the image that a prediction is about, with the prediction beside it."""

import os
import sys
from typing import TextIO

from edge.contract import Contract
from edge.errors import BadDataError
from edge.halfblocks import Picture, draw
from edge.raster import picture_of
from edge.reading import Reading, to_line
from edge.requested import Requests
from edge.terminal import clipped, colours_of, size_of

MAX_HEIGHT, MAX_WIDTH = 32, 64
"""Pixels of a drawing; a line of text holds two rows of them."""
TEXT_COLUMNS = 32
"""What is kept free for the text beside it, where the terminal is so wide."""
_GAP = "  "


class Drawer:
    """Tells predictions with their images; `missing` counts those without: the request is gone, or no picture."""

    def __init__(self, requests: Requests, contract: Contract | None) -> None:
        self.missing = 0
        self._requests = requests
        self._contract = contract

    def __call__(self, reading: Reading) -> str:
        """Lines of text that end with plain colours."""
        columns, lines = size_of(sys.stdout)
        picture = self._picture(reading, *_bounds(columns, lines))
        if picture is None:
            self.missing += 1
            return to_line(reading)
        return "\n".join(beside(picture, reading, columns, sys.stdout))

    def counts(self) -> dict[str, int]:
        """What there is to know of the requests."""
        return {"unanswered": self._requests.unanswered, "without image": self.missing}

    def _picture(self, reading: Reading, height: int, width: int) -> Picture | None:
        request = self._requests.find(reading.prediction.id)
        if request is None:
            return None
        try:
            return picture_of(request, self._contract, height, width)
        except BadDataError:
            return None


def beside(picture: Picture, reading: Reading, columns: int, stream: TextIO) -> list[str]:
    """The lines of a drawing, in the colours of the stream, with the prediction's text at its right."""
    prediction, width = reading.prediction, picture.shape[1]
    texts = [prediction.id[:12], f"{prediction.label}  {prediction.confidence:.2%}", reading.verdict, reading.score]
    drawing = draw(picture, colours_of(stream, os.environ))
    drawing += [" " * width] * (len(texts) - len(drawing))
    texts += [""] * (len(drawing) - len(texts))
    room = columns - width - len(_GAP)
    return [f"{left}{_GAP}{clipped(text, room)}".rstrip() for left, text in zip(drawing, texts, strict=True)]


def _bounds(columns: int, lines: int) -> tuple[int, int]:
    """Most pixels in height and width, at least one: a drawing takes no more than the terminal has."""
    width = min(MAX_WIDTH, max(columns - TEXT_COLUMNS, columns // 2))
    return max(1, min(MAX_HEIGHT, 2 * (lines - 1))), max(1, width)
