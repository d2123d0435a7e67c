"""A local Apache Kafka in the foreground: `python -m localkafka`."""

import contextlib
import shlex
import signal
from pathlib import Path
from types import FrameType

import click

from localkafka import KAFKA_VERSION, LocalKafka
from localkafka.ports import HOST


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--port", type=click.IntRange(0, 65_535), default=9092, help="Port on the loopback interface; 0: any.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the data here.  [default: temporary]")
@click.option("--tls", is_flag=True, help="Encrypt; with a certificate made here.")
@click.option("--sasl", is_flag=True, help="Ask clients for a password, and check what they may do.")
@click.option("--nodes", type=click.IntRange(1), default=1, help="Brokers; with three, any one may be killed.")
def main(port: int, data_dir: Path | None, tls: bool, sasl: bool, nodes: int) -> None:
    """Run Apache Kafka on this machine until Ctrl-C or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    kafka = LocalKafka(port=port, data_dir=data_dir, tls=tls, sasl=sasl, nodes=nodes)
    with contextlib.suppress(KeyboardInterrupt), kafka:
        servers = kafka.bootstrap_servers.replace(HOST, "localhost")
        click.echo(f"Apache Kafka {KAFKA_VERSION} ready on {servers}")
        if tls or sasl:
            click.echo(f"its clients' options: source {shlex.quote(str(kafka.environment))}", err=True)
        kafka.wait()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    raise KeyboardInterrupt


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A second signal, such as make's SIGTERM after a Ctrl-C, must not interrupt the stopping.

    (Python reports a pending signal whose handler became SIG_IGN as an error.)
    """


if __name__ == "__main__":
    main(prog_name="python -m localkafka")
