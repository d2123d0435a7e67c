"""What all commands share: options with their environment variables, logging, signals, exit codes."""

import logging
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import click

from edge import logs
from edge.errors import EXIT_INTERNAL

log = logging.getLogger(__name__)

Command = TypeVar("Command", bound=Callable[..., Any])


class Finite(click.FloatRange):
    """A number in a range, and neither NaN nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a usage error."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not finite.", param, ctx)
        return number


def check_topic(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback that accepts what Kafka accepts as the name of a topic, or nothing where an option has no default."""
    if value is not None and (value in (".", "..") or not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value)):
        raise click.BadParameter(
            f"{value[:100]!r} is no name of a topic: letters, digits, '.', '_' and '-' are allowed"
        )
    return value


def check_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback that accepts any text but an empty one."""
    if value == "":
        raise click.BadParameter("it must not be empty")
    return value


def option(variable: str, *names: str, **settings: Any) -> Callable[[Command], Command]:
    """A click option that also reads the environment variable EDGE_<variable>, and says so in its help."""
    return click.option(*names, envvar=f"EDGE_{variable}", show_envvar=True, show_default=True, **settings)


request_topic = option(
    "REQUEST_TOPIC", "--request-topic", default="prediction_request", callback=check_topic, help="Topic of the images."
)
prediction_topic = option(
    "PREDICTION_TOPIC",
    "--prediction-topic",
    default="prediction_output",
    callback=check_topic,
    help="Topic of the predictions.",
)
dead_letter_topic = option(
    "DEAD_LETTER_TOPIC",
    "--dead-letter-topic",
    default="prediction_dead_letter",
    callback=check_topic,
    help="Topic of the records that cannot be answered.",
)
partitions = option(
    "PARTITIONS",
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=1,
    help="Partitions of topics that are created.",
)
json_output = option("JSON", "--json", "as_json", is_flag=True, help="Write one JSON object a line.")
limit = click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.  [default: go on until stopped]")


def group(default: str) -> Callable[[Command], Command]:
    """The consumer group, by default the app's own name."""
    return option(
        "GROUP",
        "--group",
        default=default,
        callback=check_name,
        help="Consumer group; its members share the partitions.",
    )


def verbose(command: Command) -> Command:
    """-v says more, -vv also what the Kafka client says, --log-json says it as JSON; sets logging up."""
    form = option(
        "LOG_JSON",
        "--log-json",
        is_flag=True,
        is_eager=True,  # so that what is wrong with the other options is said in that form
        expose_value=False,
        callback=logs.choose_form,
        help="Log one JSON object a line.",
    )
    level = option(
        "VERBOSE",
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=logs.choose_level,
        help="Log more, a line for each request; twice: the Kafka client's log, too.",
    )
    return level(form(command))


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM or Ctrl-C sets; a second signal ends the process at once."""
    stop = threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def run(command: click.Command, module: str, script: str | None = None) -> None:
    """Run a command as `python -m <module>`, or as the script of that name; ends the process.

    An error of our own making is logged and exits with 70.
    """
    name = f"python -m {module}"
    if script is not None:
        for each in (command, *getattr(command, "commands", {}).values()):
            each.epilog = each.epilog and each.epilog.replace(name, script)
    try:
        code = command.main(prog_name=script or name, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        logs.show(error)
        sys.exit(error.exit_code)
    except click.Abort:
        logs.say("Aborted!")
        sys.exit(1)
    except Exception:
        log.exception("internal error: please report it with the lines below")
        sys.exit(EXIT_INTERNAL)
