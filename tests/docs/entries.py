"""What the table can say about a command of a page."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch

from tests.docs.pages import Command


@dataclass(frozen=True)
class Entry:
    """For the commands of some pages, those that have something in them."""

    pages: str
    pattern: str

    def fits(self, command: Command) -> bool:
        """Whether it is about this command."""
        return fnmatch(command.page, self.pages) and re.search(self.pattern, command.bare) is not None


@dataclass(frozen=True)
class Replaced(Entry):
    """Something else is run; `{port}` is the port of the page's broker."""

    by: str
    why: str


@dataclass(frozen=True)
class NotRun(Entry):
    """It is not run at all."""

    why: str


@dataclass(frozen=True)
class Given(Entry):
    """What a reader has before, and the page need not say how: commands that are run first."""

    commands: str


@dataclass(frozen=True)
class Background(Entry):
    """It runs until it is stopped. What its output shows before the next command, and before it is stopped."""

    ready: str
    shows: str = ""
    until_end_of_page: bool = False
