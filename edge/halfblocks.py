"""Draws pixels as text: two pixels, one above the other, in each character."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from edge.terminal import HALF_BLOCK, Colours

Picture = npt.NDArray[np.uint8]
"""uint8 [height, width, 3]: red, green, blue."""

RAMP = " .:-=+*#%@"
"""From dark to bright, as on a dark background."""
RESET = "\x1b[0m"
_BACKGROUND = "49"
_LUMA = (0.299, 0.587, 0.114)
_CUBE = (0, 95, 135, 175, 215, 255)
_PALETTE = np.array(
    [(r, g, b) for r in _CUBE for g in _CUBE for b in _CUBE] + [(8 + 10 * step,) * 3 for step in range(24)], np.int32
)
_PALETTE_START = 16
"""The first 16 colours of a terminal are its user's own; the cube of 216 and 24 greys follow."""


def draw(picture: Picture, colours: Colours) -> list[str]:
    """Lines of as many characters as the picture is wide, one for two rows of pixels; each ends with plain colours.

    Without colours, brightness is told by characters, and nothing steers the terminal.
    """
    if colours is Colours.NONE:
        return _ramped(picture)
    codes = _true_codes(picture) if colours is Colours.TRUE else _palette_codes(picture)
    below = [*codes[1::2], [""] * len(codes[0])][: len(codes[::2])]
    return [_line(top, bottom) for top, bottom in zip(codes[::2], below, strict=True)]


def _ramped(picture: Picture) -> list[str]:
    luma = picture @ np.array(_LUMA)
    # A last row without another below it stands for both.
    pairs = [luma[row : row + 2].mean(axis=0) for row in range(0, len(luma), 2)]
    return ["".join(RAMP[int(value * len(RAMP) / 256)] for value in pair) for pair in pairs]


def _true_codes(picture: Picture) -> list[list[str]]:
    return [[f"2;{r};{g};{b}" for r, g, b in row] for row in picture.tolist()]


def _palette_codes(picture: Picture) -> list[list[str]]:
    distances = ((picture[:, :, None, :].astype(np.int32) - _PALETTE) ** 2).sum(axis=3)
    return [[f"5;{number}" for number in row] for row in (distances.argmin(axis=2) + _PALETTE_START).tolist()]


def _line(top: Sequence[str], bottom: Sequence[str]) -> str:
    cells = [(f"38;{above}", f"48;{below}" if below else _BACKGROUND) for above, below in zip(top, bottom, strict=True)]
    before = [("", _BACKGROUND), *cells]
    return "".join(_steer(cell, last) + HALF_BLOCK for cell, last in zip(cells, before, strict=False)) + RESET


def _steer(cell: Iterable[str], last: Iterable[str]) -> str:
    """What changes the colours from those of the last cell."""
    codes = [code for code, old in zip(cell, last, strict=True) if code != old]
    return f"\x1b[{';'.join(codes)}m" if codes else ""
