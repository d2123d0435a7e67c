"""What an app runs with, and where each value came from: an option beats the environment, which beats the default."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click
from click.core import ParameterSource

from edge.logs import printable

JSON = "json"

PASSWORDS = ("EDGE_SASL_PASSWORD", "EDGE_TLS_KEY_PASSWORD")
"""Variables without an option: on a command line, every user of the machine could read them."""

OPTION, DEFAULT, UNUSED = "option", "default", "unused"
MASK = "***"


@dataclass(frozen=True)
class Setting:
    """One value: the option's name and the variable's, None where there is no such thing.

    `value` is None where nothing is set, MASK where it is not to be seen; `origin` is OPTION, DEFAULT, the variable's
    name, or UNUSED for a variable that the command does not read.
    """

    option: str | None
    variable: str | None
    value: str | int | float | bool | None
    origin: str


def settings(context: click.Context) -> list[Setting]:
    """All values of a command whose options are parsed, in the order of its help."""
    found = [_setting(context, parameter) for parameter in context.command.params if _is_shown(parameter)]
    found += [_password(variable) for variable in PASSWORDS]
    known = {setting.variable for setting in found}
    strange = sorted(name for name in os.environ if name.startswith("EDGE_") and name not in known)
    # Whatever such a variable was meant for: it may hold a secret.
    return found + [Setting(None, name, MASK, UNUSED) for name in strange]


def show(context: click.Context, form: str) -> None:
    """Print the values to stdout: aligned, or as one JSON object a line."""
    for line in _json_lines(settings(context)) if form == JSON else _text_lines(settings(context)):
        click.echo(line)


def _is_shown(parameter: click.Parameter) -> bool:
    return parameter.name not in ("help", "print_config")


def _setting(context: click.Context, parameter: click.Parameter) -> Setting:
    name = str(parameter.name)
    is_option = isinstance(parameter, click.Option)
    variable = parameter.envvar if isinstance(parameter.envvar, str) else None
    source = context.get_parameter_source(name)
    origin = DEFAULT
    if source is ParameterSource.COMMANDLINE:
        origin = OPTION if is_option else "argument"
    elif source is ParameterSource.ENVIRONMENT and variable is not None:
        origin = variable
    value = _plain(context.params.get(name, context.meta.get(f"edge.{name}")))
    return Setting(max(parameter.opts, key=len) if is_option else name, variable, value, origin)


def _plain(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple):
        return " ".join(str(_plain(each)) for each in value) or None
    return str(getattr(value, "name", value) if hasattr(value, "read") else value)


def _password(variable: str) -> Setting:
    is_set = bool(os.environ.get(variable))
    return Setting(None, variable, MASK if is_set else None, variable if is_set else DEFAULT)


def _json_lines(found: list[Setting]) -> Iterator[str]:
    for setting in found:
        yield json.dumps(asdict(setting))


def _text_lines(found: list[Setting]) -> Iterator[str]:
    names = [setting.option or setting.variable or "" for setting in found]
    values = ["not set" if setting.value is None else printable(_word(setting.value)) for setting in found]
    first, second = max(map(len, names)), min(max(map(len, values)), 40)
    for setting, name, value in zip(found, names, values, strict=True):
        origin = "not read by this command" if setting.origin == UNUSED else setting.origin
        yield f"{name:{first}}  {value:{second}}  {origin}"


def _word(value: str | int | float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
