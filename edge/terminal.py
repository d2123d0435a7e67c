"""What a terminal can show: its colours, and as much text as fits into a line."""

import os
import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import TextIO

from edge.logs import printable

HALF_BLOCK = "▀"
_COLUMNS, _LINES = 80, 24


class Colours(Enum):
    """The colours that may be used."""

    TRUE = "24 bits"
    PALETTE = "256 colours"
    NONE = "none"


def is_terminal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether what is written there can be drawn over: a terminal, and no dumb one."""
    return stream.isatty() and environment.get("TERM", "") not in ("", "dumb")


def colours_of(stream: TextIO, environment: Mapping[str, str]) -> Colours:
    """What COLORTERM and TERM promise; none where NO_COLOR is set, and none but on a terminal that has half blocks."""
    if not is_terminal(stream, environment) or environment.get("NO_COLOR") or not _has_blocks(stream):
        return Colours.NONE
    term = environment["TERM"]
    if environment.get("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct"):
        return Colours.TRUE
    return Colours.PALETTE if "256color" in term else Colours.NONE


def size_of(stream: TextIO) -> tuple[int, int]:
    """Columns and lines of the terminal; 80 and 24 where there is none, or none that says."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return _COLUMNS, _LINES
    return columns or _COLUMNS, lines or _LINES


def clipped(text: str, columns: int) -> str:
    """As much of a text as surely fits into so many columns, unable to steer the terminal."""
    kept, left = [], columns
    # No character is taken for narrower than one column, not even one that is drawn on top of another.
    for character in printable(text[:columns]):
        left -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if left < 0:
            break
        kept.append(character)
    return "".join(kept)


def _has_blocks(stream: TextIO) -> bool:
    try:
        HALF_BLOCK.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
