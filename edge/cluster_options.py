"""The options that name and secure a cluster, which a command takes as one value."""

import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge import cli
from edge.cluster import Cluster, security_of
from edge.pubsub import CLIENTS, KAFKA_PYTHON
from edge.security import MECHANISMS, PROTOCOLS, Security

log = logging.getLogger(__name__)

_PRINT_CONFIG = click.option(
    "--print-config",
    is_flag=False,
    flag_value="text",
    type=click.Choice(["text", "json"]),
    help="Print every value and where it came from, and exit.",
)
_FILE = click.Path(path_type=Path)
_CLUSTER_OPTIONS = (
    cli.option(
        "BROKER_WAIT",
        "--broker-wait",
        type=cli.Finite(min=0),
        default=30.0,
        metavar="SECONDS",
        help="How long to wait for a broker at start.",
    ),
    cli.option(
        "CLIENT",
        "--client",
        type=click.Choice(CLIENTS),
        default=KAFKA_PYTHON,
        help="Library that talks to Kafka; confluent, which is faster, needs confluent-kafka.",
    ),
    cli.option(
        "SECURITY_PROTOCOL",
        "--security-protocol",
        type=click.Choice(PROTOCOLS),
        help="How connections are protected.  [default: SASL_SSL with a --sasl-username, SSL with a --tls-… file, "
        "else PLAINTEXT]",
    ),
    cli.option("TLS_CA", "--tls-ca", type=_FILE, help="PEM file of whom to trust instead of the system's authorities."),
    cli.option("TLS_CERTIFICATE", "--tls-certificate", type=_FILE, help="PEM file of this client's certificate."),
    cli.option("TLS_KEY", "--tls-key", type=_FILE, help="PEM file of its private key."),
    cli.option(
        "TLS_KEY_PASSWORD_FILE",
        "--tls-key-password-file",
        type=_FILE,
        help="File of the key's password, which EDGE_TLS_KEY_PASSWORD can hold instead.",
    ),
    cli.option(
        "SASL_MECHANISM",
        "--sasl-mechanism",
        type=click.Choice(MECHANISMS),
        default="SCRAM-SHA-256",
        help="How the password is proven.",
    ),
    cli.option("SASL_USERNAME", "--sasl-username", callback=cli.check_name, help="Whom to log in as."),
    cli.option(
        "SASL_PASSWORD_FILE",
        "--sasl-password-file",
        type=_FILE,
        help="File of that user's password, which EDGE_SASL_PASSWORD can hold instead.",
    ),
)


def cluster(command: cli.Command) -> Callable[..., Any]:
    """The options that name and secure a cluster; the command takes them as one `cluster`."""
    return _with_cluster(command, "Kafka brokers to connect to first.", default="localhost:9092")


def cluster_or_own(command: cli.Command) -> Callable[..., Any]:
    """The same for a command that starts a broker of its own when none is named: `cluster` is then None."""
    return _with_cluster(command, "Brokers to work on; without it, a local one is started.")


def chosen_client() -> str:
    """The client that the command was told to use, for one that starts a broker of its own."""
    context = click.get_current_context(silent=True)
    return KAFKA_PYTHON if context is None else str(context.params.get("client", KAFKA_PYTHON))


def _with_cluster(command: cli.Command, servers_help: str, **servers: Any) -> Callable[..., Any]:
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

    named = cli.option(
        "BOOTSTRAP_SERVERS",
        "--bootstrap-servers",
        metavar="HOST:PORT,…",
        callback=_check_servers,
        help=servers_help,
        **servers,
    )
    result: Callable[..., Any] = collapse
    for decorate in (_PRINT_CONFIG, *reversed(_CLUSTER_OPTIONS), named):
        result = decorate(result)
    return result


def _check_servers(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback that accepts `host:port[,host:port…]`, or nothing where an option has no default."""
    for server in [] if value is None else value.split(","):
        host, _colon, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise click.BadParameter(f"{server.strip()!r} is not host:port")
    return value
