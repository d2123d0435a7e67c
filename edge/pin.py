"""The hash that a command pins a model to."""

import os
import re

import click


def check_sha256(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback that accepts 64 hex digits, or nothing; a variable that is there but empty pins nothing by mistake."""
    if value is None:
        value = os.environ.get("EDGE_MODEL_SHA256")
    if value is not None and not re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        raise click.BadParameter(f"{value[:100]!r} is no SHA-256: 64 hex digits are needed")
    return value
