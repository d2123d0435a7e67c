"""Pixels as text: the exact sequences, and when a terminal gets which."""

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.halfblocks import RAMP, draw
from edge.terminal import Colours, clipped, colours_of, size_of

PICTURE = np.array(
    [[(255, 255, 255), (0, 0, 0)], [(128, 128, 128), (128, 128, 128)], [(0, 95, 255), (0, 95, 255)]], np.uint8
)
XTERM = {"TERM": "xterm-256color"}


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        yield stream
    os.close(master)


def test_two_rows_are_one_line_and_colours_are_told_where_they_change() -> None:
    assert draw(PICTURE, Colours.TRUE) == [
        "\x1b[38;2;255;255;255;48;2;128;128;128m▀\x1b[38;2;0;0;0m▀\x1b[0m",
        # The last row has none below it: there the background is the terminal's own.
        "\x1b[38;2;0;95;255m▀▀\x1b[0m",
    ]


def test_of_256_colours_the_nearest_is_taken_and_none_of_the_users_own() -> None:
    assert draw(PICTURE, Colours.PALETTE) == [
        "\x1b[38;5;231;48;5;244m▀\x1b[38;5;16m▀\x1b[0m",
        "\x1b[38;5;27m▀▀\x1b[0m",
    ]
    one = np.array([[(254, 1, 2)], [(9, 8, 7)]], np.uint8)
    assert draw(one, Colours.PALETTE) == ["\x1b[38;5;196;48;5;232m▀\x1b[0m"]


def test_without_colours_there_is_nothing_but_characters() -> None:
    assert draw(PICTURE, Colours.NONE) == ["#:", "--"]
    greys = np.repeat(np.array([[[0]], [[255]]], np.uint8), 3, axis=2)
    assert draw(greys[:1], Colours.NONE) == [RAMP[0]]
    assert draw(greys[1:], Colours.NONE) == [RAMP[-1]]
    assert draw(greys, Colours.NONE) == [RAMP[len(RAMP) // 2 - 1]]


@pytest.mark.parametrize("colours", Colours)
def test_every_line_ends_with_plain_colours_and_has_the_pictures_width(colours: Colours) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    lines = draw(picture, colours)
    assert len(lines) == 5
    for line in lines:
        assert line.count("▀") == 7 or (colours is Colours.NONE and len(line) == 7)
        assert line.endswith("\x1b[0m") == (colours is not Colours.NONE)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({**XTERM, "COLORTERM": "truecolor"}, Colours.TRUE),
        ({**XTERM, "COLORTERM": "24bit"}, Colours.TRUE),
        ({"TERM": "xterm-direct"}, Colours.TRUE),
        (XTERM, Colours.PALETTE),
        ({**XTERM, "COLORTERM": "yes", "NO_COLOR": ""}, Colours.PALETTE),
        ({**XTERM, "COLORTERM": "truecolor", "NO_COLOR": "1"}, Colours.NONE),
        ({"TERM": "vt100"}, Colours.NONE),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, Colours.NONE),
        ({"COLORTERM": "truecolor"}, Colours.NONE),
    ],
)
def test_the_environment_tells_the_colours(terminal: TextIO, environment: dict[str, str], expected: Colours) -> None:
    assert colours_of(terminal, environment) is expected


def test_a_file_has_no_colours_and_neither_has_a_terminal_without_half_blocks(terminal: TextIO) -> None:
    everything = {**XTERM, "COLORTERM": "truecolor"}
    assert colours_of(io.StringIO(), everything) is Colours.NONE
    with os.fdopen(os.dup(terminal.fileno()), "w", encoding="latin-1") as latin:
        assert colours_of(latin, everything) is Colours.NONE


def test_a_terminal_that_does_not_know_its_size_has_80_by_24(terminal: TextIO) -> None:
    assert size_of(terminal) == (80, 24)
    assert size_of(io.StringIO()) == (80, 24)


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("Ankle boot", 5, "Ankle"),
        ("靴靴靴", 5, "靴靴"),
        ("e\u0301" * 3, 4, "e\u0301" * 2),
        ("a\x1b[2Jb\r\x9b1m\u202e", 20, "a\ufffd[2Jb\ufffd\ufffd1m\ufffd"),
        ("short", 80, "short"),
        ("x", 0, ""),
        ("x", -3, ""),
    ],
)
def test_text_is_cut_to_its_columns_and_steers_nothing(text: str, columns: int, expected: str) -> None:
    assert clipped(text, columns) == expected


@given(st.text(max_size=60), st.integers(0, 40))
def test_no_text_is_too_wide_or_steers(text: str, columns: int) -> None:
    kept = clipped(text, columns)
    assert kept.isprintable()
    assert len(kept) <= columns
