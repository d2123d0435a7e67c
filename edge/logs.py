"""What goes to stderr: lines for people, or with --log-json one JSON object a line."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import click

from edge.records import Record

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A log record as one JSON object: time (UTC), level, logger, message, and whatever was given as `extra`.

    All but ASCII is escaped, so that no line break, and nothing that steers a terminal, gets through.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The object's text."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None},
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


def choose_form(context: click.Context, parameter: click.Parameter, as_json: bool) -> None:
    """A callback that sets logging to stderr up; a program that has done so already is left alone."""
    context.meta[f"edge.{parameter.name}"] = as_json
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else text)
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    if as_json:
        logging.captureWarnings(True)


def choose_level(context: click.Context, parameter: click.Parameter, verbosity: int) -> None:
    """A callback for 0: what an operator needs; 1: each request, too; 2: also what the Kafka client says."""
    context.meta[f"edge.{parameter.name}"] = verbosity
    logging.getLogger("edge").setLevel(logging.DEBUG if verbosity else logging.INFO)
    # kafka-python logs each attempt to reconnect, and whole values at DEBUG: never let it go below INFO.
    for name in ("kafka", "librdkafka"):
        logging.getLogger(name).setLevel(logging.INFO if verbosity > 1 else logging.CRITICAL + 1)


def say(text: str) -> None:
    """A line on stderr that belongs to the results: as it is, or with --log-json as a line of the log."""
    if is_json():
        logging.getLogger("edge").info("%s", text)
    else:
        click.echo(text, err=True)


def show(error: click.ClickException) -> None:
    """Why a command ends, in the form that the log has."""
    if is_json():
        level = logging.ERROR if error.exit_code else logging.INFO
        logging.getLogger("edge").log(level, "%s", error.format_message(), extra={"exit_code": error.exit_code})
    else:
        error.show()


def printable(text: str) -> str:
    """Text that somebody sent, unable to steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def place(record: Record) -> dict[str, object]:
    """Where a record is, as `extra` of a line about it."""
    return {"topic": record.partition.topic, "partition": record.partition.number, "offset": record.offset}


def is_json() -> bool:
    """Whether the log is of JSON lines."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)
