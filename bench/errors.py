"""What can go wrong in a benchmark or the demo, beside the errors of `edge`."""

from edge.errors import EXIT_INTERNAL, EdgeError


class AppError(EdgeError):
    """An app under test ended by itself, or did not answer: its own message says why."""

    exit_code = EXIT_INTERNAL
