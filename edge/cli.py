"""What all commands share: options with their environment variables, logging, signals, exit codes."""

import functools
import inspect
import logging
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from edge import logs
from edge.cluster import Cluster, security_of
from edge.errors import EXIT_INTERNAL
from edge.pubsub import CLIENTS, KAFKA_PYTHON
from edge.security import MECHANISMS, PROTOCOLS, Security

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


_PRINT_CONFIG = click.option(
    "--print-config",
    is_flag=False,
    flag_value="text",
    type=click.Choice(["text", "json"]),
    help="Print every value and where it came from, and exit.",
)
_FILE = click.Path(path_type=Path)
_CLUSTER_OPTIONS = (
    option(
        "BROKER_WAIT",
        "--broker-wait",
        type=Finite(min=0),
        default=30.0,
        metavar="SECONDS",
        help="How long to wait for a broker at start.",
    ),
    option(
        "CLIENT",
        "--client",
        type=click.Choice(CLIENTS),
        default=KAFKA_PYTHON,
        help="Library that talks to Kafka; confluent, which is faster, needs confluent-kafka.",
    ),
    option(
        "SECURITY_PROTOCOL",
        "--security-protocol",
        type=click.Choice(PROTOCOLS),
        help="How connections are protected.  [default: SASL_SSL with a --sasl-username, SSL with a --tls-… file, "
        "else PLAINTEXT]",
    ),
    option("TLS_CA", "--tls-ca", type=_FILE, help="PEM file of whom to trust instead of the system's authorities."),
    option("TLS_CERTIFICATE", "--tls-certificate", type=_FILE, help="PEM file of this client's certificate."),
    option("TLS_KEY", "--tls-key", type=_FILE, help="PEM file of its private key."),
    option(
        "TLS_KEY_PASSWORD_FILE",
        "--tls-key-password-file",
        type=_FILE,
        help="File of the key's password, which EDGE_TLS_KEY_PASSWORD can hold instead.",
    ),
    option(
        "SASL_MECHANISM",
        "--sasl-mechanism",
        type=click.Choice(MECHANISMS),
        default="SCRAM-SHA-256",
        help="How the password is proven.",
    ),
    option("SASL_USERNAME", "--sasl-username", callback=check_name, help="Whom to log in as."),
    option(
        "SASL_PASSWORD_FILE",
        "--sasl-password-file",
        type=_FILE,
        help="File of that user's password, which EDGE_SASL_PASSWORD can hold instead.",
    ),
)


def cluster(command: Command) -> Callable[..., Any]:
    """The options that name and secure a cluster; the command takes them as one `cluster`."""
    return _with_cluster(command, "Kafka brokers to connect to first.", default="localhost:9092")


def cluster_or_own(command: Command) -> Callable[..., Any]:
    """The same for a command that starts a broker of its own when none is named: `cluster` is then None."""
    return _with_cluster(command, "Brokers to work on; without it, a local one is started.")


def chosen_client() -> str:
    """The client that the command was told to use, for one that starts a broker of its own."""
    context = click.get_current_context(silent=True)
    return KAFKA_PYTHON if context is None else str(context.params.get("client", KAFKA_PYTHON))


def _with_cluster(command: Command, servers_help: str, **servers: Any) -> Callable[..., Any]:
    @functools.wraps(command)
    def collapse(*args: Any, bootstrap_servers: str | None, broker_wait: float, client: str, **rest: Any) -> Any:
        if (form := rest.pop("print_config")) is not None:
            from edge import configuration  # noqa: PLC0415 - only when asked for

            return configuration.show(click.get_current_context(), form)
        security = security_of(**{name: rest.pop(name) for name in inspect.signature(security_of).parameters})
        if bootstrap_servers is None:
            if security != Security():
                raise click.UsageError("what secures a connection needs --bootstrap-servers, too")
            return command(*args, cluster=None, **rest)
        if security.sends_password_in_clear:
            log.warning("the password goes over the network in clear: SASL_SSL or a SCRAM mechanism would protect it")
        return command(*args, cluster=Cluster(bootstrap_servers, broker_wait, security, client), **rest)

    named = option(
        "BOOTSTRAP_SERVERS",
        "--bootstrap-servers",
        metavar="HOST:PORT,…",
        callback=check_servers,
        help=servers_help,
        **servers,
    )
    result: Callable[..., Any] = collapse
    for decorate in (_PRINT_CONFIG, *reversed(_CLUSTER_OPTIONS), named):
        result = decorate(result)
    return result


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
