"""Looks up what the table says about a command."""

import re
from collections.abc import Iterator

from tests.docs.entries import Background, Entry, Given, NotRun, Replaced
from tests.docs.pages import Command
from tests.docs.table import ENTRIES, TRAINING


def environment(page: str) -> str:
    """The environment in which a page's commands are typed: `edge` or `train`."""
    return "train" if page in TRAINING else "edge"


def is_broker(command: Command) -> bool:
    """Whether a page brings a broker of its own."""
    return "-m localkafka" in command.text and reason_not_to_run(command) is None


def reason_not_to_run(command: Command) -> str | None:
    """Why a command is not run; None where it is."""
    return next((entry.why for entry in fitting(command) if isinstance(entry, NotRun)), None)


def given(command: Command) -> Iterator[str]:
    """What is run before a command."""
    return (entry.commands for entry in fitting(command) if isinstance(entry, Given))


def background(command: Command) -> Background | None:
    """How a command runs beside the next ones; None where it is waited for."""
    return next((entry for entry in fitting(command) if isinstance(entry, Background)), None)


def replaced(command: Command) -> str:
    """What is run in place of a command."""
    text = command.text
    for entry in fitting(command):
        if isinstance(entry, Replaced):
            text = re.sub(entry.pattern, entry.by, text)
    return text


def fitting(command: Command) -> Iterator[Entry]:
    """The entries about a command, in the order of the table."""
    return (entry for entry in ENTRIES if entry.fits(command))
