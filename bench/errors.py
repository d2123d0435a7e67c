"""What can go wrong in a benchmark or the demo, beside the errors of `edge`."""

from edge.errors import (
    EXIT_INTERNAL,
    BadDataError,
    BrokerUnavailableError,
    ConfigurationError,
    EdgeError,
    NotAuthorisedError,
)


class AppError(EdgeError):
    """An app under test ended by itself, or did not answer: its own message says why."""

    exit_code = EXIT_INTERNAL


def error_of(module: str, code: int) -> EdgeError:
    """The error of an app that has ended by itself; what it has found fault with is passed on by the exit code."""
    kinds = (BadDataError, BrokerUnavailableError, ConfigurationError, NotAuthorisedError)
    kind = next((kind for kind in kinds if kind.exit_code == code), AppError)
    return kind(f"python -m {module} ended with exit code {code}: its own words are above")
