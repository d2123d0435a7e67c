"""What `pip install` makes commands of: `edge-classifier` does what `python -m edge.classifier` does."""

import importlib

from edge import cli


def _start(app: str) -> None:
    cli.run(importlib.import_module(f"edge.{app}").main, f"edge.{app}", f"edge-{app}")


def classifier() -> None:
    """`edge-classifier`."""
    _start("classifier")


def consumer() -> None:
    """`edge-consumer`."""
    _start("consumer")


def counter() -> None:
    """`edge-counter`."""
    _start("counter")


def deadletter() -> None:
    """`edge-deadletter`."""
    _start("deadletter")


def doctor() -> None:
    """`edge-doctor`."""
    _start("doctor")


def query() -> None:
    """`edge-query`."""
    _start("query")
