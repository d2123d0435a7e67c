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


def check_servers(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback that accepts `host:port[,host:port…]`, or nothing where an option has no default."""
    for server in [] if value is None else value.split(","):
        host, _colon, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise click.BadParameter(f"{server.strip()!r} is not host:port")
    return value


def check_topic(_: click.Context, __: click.Parameter, value: str) -> str:
    """A callback that accepts what Kafka accepts as the name of a topic."""
    if value in (".", "..") or not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value):
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


bootstrap_servers = option(
    "BOOTSTRAP_SERVERS",
    "--bootstrap-servers",
    default="localhost:9092",
    metavar="HOST:PORT,…",
    callback=check_servers,
    help="Kafka brokers to connect to first.",
)
broker_wait = option(
    "BROKER_WAIT",
    "--broker-wait",
    type=Finite(min=0),
    default=30.0,
    metavar="SECONDS",
    help="How long to wait for a broker at start.",
)
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
    """-v says more, -vv also what the Kafka client says; sets logging up."""
    return click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_set_up_logging,
        help="Log more; twice: the Kafka client's log, too.",
    )(command)


def _set_up_logging(_: click.Context, __: click.Parameter, verbosity: int) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("edge").setLevel(logging.DEBUG if verbosity else logging.INFO)
    # kafka-python logs each attempt to reconnect, and whole values at DEBUG: never let it go below INFO.
    logging.getLogger("kafka").setLevel(logging.INFO if verbosity > 1 else logging.CRITICAL)


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


def run(command: click.Command, module: str) -> None:
    """Run a command as `python -m <module>`; an error of our own making is logged and exits with 70."""
    try:
        command.main(prog_name=f"python -m {module}")
    except Exception:
        log.exception("internal error: please report it with the lines below")
        sys.exit(EXIT_INTERNAL)
