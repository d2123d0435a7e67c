"""Every error that a user can meet: one root that carries an exit code, each leaf saying what the caller can do."""

from typing import IO, TypeGuard

import click

EXIT_BAD_DATA = 65
EXIT_BROKER_UNAVAILABLE = 69
EXIT_INTERNAL = 70
EXIT_NOT_AUTHORISED = 77
EXIT_BAD_CONFIGURATION = 78


class EdgeError(click.ClickException):
    """Root of all errors of `edge`: its message is one sentence for the user, its `exit_code` is for scripts.

    click prints the message and exits with the code when one leaves a command; a program that imports
    `edge` catches it like any other exception.
    """

    exit_code = EXIT_INTERNAL


def is_fatal(error: Exception | None) -> TypeGuard[EdgeError]:
    """Whether an error is one that no repetition mends."""
    return isinstance(error, EdgeError) and not isinstance(error, BrokerUnavailableError)


class BadDataError(EdgeError):
    """Input data that cannot be used: repair or replace the file that the message names."""

    exit_code = EXIT_BAD_DATA


class BadRequestError(BadDataError):
    """One record that cannot be answered: it goes to the dead-letter topic, and the loop goes on."""


class ExpiredError(BadRequestError):
    """One record that is older than `--max-age`: replay its dead letter when an answer is still of use."""


class BrokerUnavailableError(EdgeError):
    """No broker answered in time: start one or correct `--bootstrap-servers`."""

    exit_code = EXIT_BROKER_UNAVAILABLE


class NotAuthorisedError(EdgeError):
    """The broker refused the credentials or a right is missing: ask whoever runs the broker."""

    exit_code = EXIT_NOT_AUTHORISED


class ConfigurationError(EdgeError):
    """An option contradicts another or the broker's state: change the configuration."""

    exit_code = EXIT_BAD_CONFIGURATION


class FencedError(ConfigurationError):
    """Another process has taken this one's place: end, and leave the place to it."""


class BadModelError(ConfigurationError):
    """The model file or its contract cannot be served: export it again, or name the right file."""


class StoppedError(EdgeError):
    """The user or the system asked to stop, before there was anything to finish."""

    exit_code = 0

    def show(self, file: IO[str] | None = None) -> None:
        """Say so, without calling it an error."""
        click.echo(self.message, file, err=file is None)


# Which right was missing follows from the resource and, by its first word, from what was being done.
_RIGHTS = {
    ("topic", "creating"): "CREATE",
    ("topic", "reading"): "READ",
    ("topic", "committing"): "READ",
    ("topic", "writing"): "WRITE",
    ("cluster", "creating"): "CREATE",
    ("cluster", "writing"): "IDEMPOTENT_WRITE",
}
_USUAL_RIGHTS = {"topic": "READ or WRITE", "group": "READ", "transactional id": "WRITE", "cluster": "IDEMPOTENT_WRITE"}


def missing_right(right: str, resource: str) -> str:
    """What is said to a user who lacks a right."""
    return f"this user needs {right} on the {resource}; ask whoever runs the broker to grant that"


def refusal(kind: str | None, doing: str, name: str = "") -> str:
    """What is said where the broker refused what was being done to a `kind` of resource; None is the user as such."""
    if kind is None:
        # The broker's own words are left out: nobody can vouch that they do not repeat what was sent.
        return "the broker refuses the user name or the password; correct them"
    return missing_right(_RIGHTS.get((kind, doing.partition(" ")[0])) or _USUAL_RIGHTS[kind], kind + name)
