"""What all commands share: options with their environment variables, logging, signals, exit codes."""

import logging
import os
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


def _servers(_: click.Context, __: click.Parameter, value: str) -> str:
    for server in value.split(","):
        host, _colon, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise click.BadParameter(f"{server.strip()!r} is not host:port")
    return value


def option(variable: str, *names: str, **settings: Any) -> Callable[[Command], Command]:
    """A click option that also reads the environment variable EDGE_<variable>, and says so in its help."""
    return click.option(*names, envvar=f"EDGE_{variable}", show_envvar=True, show_default=True, **settings)


bootstrap_servers = option(
    "BOOTSTRAP_SERVERS",
    "--bootstrap-servers",
    default="localhost:9092",
    metavar="HOST:PORT,…",
    callback=_servers,
    help="Kafka brokers to connect to first.",
)
broker_wait = option(
    "BROKER_WAIT",
    "--broker-wait",
    type=click.FloatRange(min=0),
    default=30.0,
    metavar="SECONDS",
    help="How long to wait for a broker at start.",
)
request_topic = option("REQUEST_TOPIC", "--request-topic", default="prediction_request", help="Topic of the images.")
prediction_topic = option(
    "PREDICTION_TOPIC", "--prediction-topic", default="prediction_output", help="Topic of the predictions."
)
dead_letter_topic = option(
    "DEAD_LETTER_TOPIC",
    "--dead-letter-topic",
    default="prediction_dead_letter",
    help="Topic of the records that cannot be answered.",
)
partitions = option(
    "PARTITIONS", "--partitions", type=click.IntRange(min=1), default=1, help="Partitions of topics that are created."
)
json_output = option("JSON", "--json", "as_json", is_flag=True, help="Write one JSON object a line.")
limit = click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.  [default: go on until stopped]")


def group(default: str) -> Callable[[Command], Command]:
    """The consumer group, by default the app's own name."""
    return option("GROUP", "--group", default=default, help="Consumer group; its members share the partitions.")


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
