"""A table of results, for a terminal and for a document."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Cells as text, the first of each row naming it, the last `words` being words and the others numbers.

    `notes` are lines below.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    words: int = 0

    def text(self) -> str:
        """For a terminal: words to the left, numbers to the right."""
        every = [self.head, *self.rows]
        widths = [max(len(row[column]) for row in every) for column in range(len(self.head))]
        lines = ["  ".join(self._aligned(n, row[n], width) for n, width in enumerate(widths)) for row in every]
        return "\n".join([*(line.rstrip() for line in lines), *self.notes])

    def markdown(self) -> str:
        """For a document."""
        rule = ["---" if self._is_word(column) else "---:" for column in range(len(self.head))]
        lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (self.head, rule, *self.rows)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def _aligned(self, column: int, cell: str, width: int) -> str:
        return cell.ljust(width) if self._is_word(column) else cell.rjust(width)

    def _is_word(self, column: int) -> bool:
        return column == 0 or column >= len(self.head) - self.words
