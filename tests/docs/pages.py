"""The blocks of code in the Markdown pages: what a reader copies, and what a page only shows."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.paths import ROOT

COMMANDS, CONSOLE, SHOWN = "sh", "console", "text"
LANGUAGES = (COMMANDS, CONSOLE, SHOWN, "python", "json", "toml", "yaml", "promql")
"""What a fence may say; an indented block is of commands, a fence that says nothing only shows something."""

PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "deploy/**/*.md", "samples/README.md", "examples/**/*.md")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*(\S*)")


@dataclass(frozen=True)
class Block:
    """A block of code: its page, from the root of the repository; the line of its first line; its lines."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where it is, as an editor takes it."""
        return f"{self.page}:{self.line}"

    @property
    def text(self) -> str:
        """Its lines as one text."""
        return "\n".join(self.lines) + "\n"

    @property
    def file(self) -> str | None:
        """The file that it is, when its first line is a comment that names one."""
        named = re.fullmatch(r"# ([\w-]+\.\w+)", self.lines[0])
        return named[1] if named else None


@dataclass(frozen=True)
class Command:
    """What a shell takes at once, of one or more lines; `shows` are the lines of output below it in a console."""

    page: str
    line: int
    text: str
    shows: tuple[str, ...] = ()

    @property
    def bare(self) -> str:
        """Without the comment behind it."""
        return re.sub(r"(^|\s+)#.*$", "", self.text, flags=re.MULTILINE)

    @property
    def place(self) -> str:
        """Where it is, as an editor takes it."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """All pages, from the root of the repository."""
    found = {path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern)}
    return sorted(page for page in found if "/." not in f"/{page}")


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    lines, number = [*text.splitlines(), ""], 0
    while number < len(lines):
        before, fence = lines[number - 1] if number else "", _FENCE.match(lines[number])
        if fence:
            end = _end_of_fence(lines, number + 1, fence[1])
            yield Block(page, number + 2, fence[2] or SHOWN, tuple(lines[number + 1 : end]))
            number = end
        elif lines[number].startswith("    ") and not before.strip():
            end = _end_of_indentation(lines, number)
            yield Block(page, number + 1, COMMANDS, tuple(line[4:] for line in lines[number:end]))
            number = end
        number += 1


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block of `sh` or `console`.

    Raises: ValueError for text that bash does not take.
    """
    if block.language == CONSOLE:
        yield from _console(block)
        return
    begun, first = "", block.line
    for number, line in enumerate(block.lines, start=block.line):
        if not begun and not line.partition("#")[0].strip():
            continue
        first, begun = (first if begun else number), f"{begun}{line}\n"
        if _is_whole(begun):
            yield Command(block.page, first, begun)
            begun = ""
    if begun:
        raise ValueError(f"{block.page}:{first}: bash does not take {begun!r}")


def _console(block: Block) -> Iterator[Command]:
    starts = [number for number, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        yield Command(block.page, block.line + start, block.lines[start][2:] + "\n", block.lines[start + 1 : end])


def _end_of_fence(lines: list[str], start: int, fence: str) -> int:
    for number in range(start, len(lines)):
        if lines[number].strip().startswith(fence):
            return number
    raise ValueError(f"line {start}: a fence that does not end")


def _end_of_indentation(lines: list[str], start: int) -> int:
    end = number = start
    while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
        number += 1
        end = number if lines[number - 1].strip() else end
    return end


def _is_whole(text: str) -> bool:
    if text.endswith("\\\n"):
        return False
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)  # noqa: S607
    return checked.returncode == 0 and not checked.stderr
