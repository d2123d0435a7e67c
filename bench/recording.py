"""A command in a terminal as an animated picture: `python -m bench.recording -o demo.gif -- make demo-edge`."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import matplotlib
import pyte
from PIL import Image, ImageDraw, ImageFont
from pyte.screens import Char

from bench.errors import AppError
from edge import cli

FRAME_S = 0.1
LONGEST_WAIT_S = 1.0
"""How long a frame is shown at most, but for the last: nobody wants to see a program being waited for."""
LAST_S = 4.0
FONT_PX = 13
MARGIN = 12
BACKGROUND, FOREGROUND = "#16181d", "#d7dae0"
COLOURS = {
    "black": "#16181d", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b", "blue": "#61afef",
    "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d7dae0", "brightblack": "#7f848e",
}  # fmt: skip

Screen = tuple[tuple[Char, ...], ...]


@dataclass(frozen=True)
class Frame:
    """What the terminal showed, and for how long."""

    screen: Screen
    seconds: float


def record(command: list[str], columns: int, rows: int) -> tuple[list[Frame], int]:
    """Run `command` in a terminal of that size until it ends: what was to be seen, and its exit status."""
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    shown: list[tuple[float, Screen]] = []
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True) as run:
        os.close(its)
        for data in _chunks(ours):
            stream.feed(data)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            now = time.monotonic()
            if shown and now - shown[-1][0] < FRAME_S:
                shown[-1] = (shown[-1][0], _snapshot(screen))
            else:
                shown.append((now, _snapshot(screen)))
    os.close(ours)
    ends = [begun for begun, _ in shown[1:]]
    waits = [min(LONGEST_WAIT_S, end - begun) for (begun, _), end in zip(shown, ends, strict=False)]
    return [Frame(seen, wait) for (_, seen), wait in zip(shown, [*waits, LAST_S], strict=False)], run.returncode


def _chunks(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so when the last process has closed the other end
            return
        if not data:
            return
        yield data


def _snapshot(screen: pyte.Screen) -> Screen:
    return tuple(tuple(screen.buffer[row][column] for column in range(screen.columns)) for row in range(screen.lines))


class Painter:
    """Screens as pictures, in the typeface that matplotlib ships."""

    def __init__(self) -> None:
        fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
        self.fonts = {
            is_bold: ImageFont.truetype(str(fonts / f"DejaVuSansMono{'-Bold' if is_bold else ''}.ttf"), FONT_PX)
            for is_bold in (False, True)
        }
        self.width = round(self.fonts[False].getlength("M"))
        self.height = 2 * self.width  # pixels drawn as half blocks are then square

    def paint(self, screen: Screen) -> Image.Image:
        """A picture of `screen`."""
        size = (2 * MARGIN + self.width * len(screen[0]), 2 * MARGIN + self.height * len(screen))
        picture = Image.new("RGB", size, BACKGROUND)
        draw = ImageDraw.Draw(picture)
        for row, line in enumerate(screen):
            for column, char in enumerate(line):
                self._cell(draw, char, MARGIN + column * self.width, MARGIN + row * self.height)
        return picture

    def _cell(self, draw: ImageDraw.ImageDraw, char: Char, x: int, y: int) -> None:
        front, back = _colour(char.fg, FOREGROUND), _colour(char.bg, BACKGROUND)
        if char.reverse:
            front, back = back, front
        right, middle, bottom = x + self.width - 1, y + self.height // 2, y + self.height - 1
        if back != BACKGROUND:
            draw.rectangle((x, y, right, bottom), back)
        if char.data == "▀":
            draw.rectangle((x, y, right, middle - 1), front)
        elif char.data == "█":
            draw.rectangle((x, y, right, bottom), front)
        elif char.data.strip():
            draw.text((x, y), char.data, front, self.fonts[char.bold])


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return COLOURS.get(name) or COLOURS.get(name.removeprefix("bright")) or f"#{name}"


def save(frames: list[Frame], path: Path) -> None:
    """Write `frames` as an animated GIF that begins again after the last."""
    painter = Painter()
    pictures = [painter.paint(frame.screen).quantize(128, dither=Image.Dither.NONE) for frame in frames]
    durations = [round(frame.seconds * 1000) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default="recording.gif", show_default=True)
@click.option("--columns", type=click.IntRange(20, 200), default=100, show_default=True, help="Width of the terminal.")
@click.option("--rows", type=click.IntRange(5, 100), default=30, show_default=True, help="Height of the terminal.")
@click.argument("command", nargs=-1, required=True)
def main(output: Path, columns: int, rows: int, command: tuple[str, ...]) -> None:
    """Run COMMAND in a terminal until it ends, and save what it showed as an animated GIF."""
    frames, status = record(list(command), columns, rows)
    if status:
        raise AppError(f"{command[0]} ended with {status}: nothing is written")
    if not frames:
        raise AppError(f"{command[0]} showed nothing: nothing is written")
    save(frames, output)
    click.echo(f"{output}: {len(frames)} frames, {output.stat().st_size / 1e3:.0f} KB")


if __name__ == "__main__":
    cli.run(main, "bench.recording")
