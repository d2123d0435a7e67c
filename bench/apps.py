"""Starts the edge apps as processes of their own, and ends them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

import click

from bench.errors import error_of
from edge import cluster_options
from edge.cluster import Cluster, without_cluster
from localkafka import LocalKafka

ROOT = Path(__file__).parent.parent
STOP_TIMEOUT_S = 20.0


class App:
    """One running app, `python -m <module> <options>`; leaving the context stops it as an operator would.

    The cluster goes by its environment: a password on a command line would be everybody's to read.
    `stderr` is as for subprocess, `variables` are added to the environment.
    """

    def __init__(
        self, cluster: Cluster, module: str, *options: str, stderr: int | None = None, **variables: str
    ) -> None:
        self.module = module
        environment = {**without_cluster(os.environ), **cluster.environment(), **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *options], cwd=ROOT, env=environment, stderr=stderr
        )

    def __enter__(self) -> "App":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_done_within(self, timeout_s: float) -> bool:
        """Wait for it to end by itself.

        Raises: EdgeError when it failed.
        """
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        if code != 0:
            raise error_of(self.module, code)
        return True

    def check(self) -> None:
        """Raise EdgeError when it is no longer running."""
        if self.process.poll() is not None:
            raise error_of(self.module, self.process.returncode)

    def stop(self) -> None:
        """End it with SIGTERM, and by force when that takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def unwind_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, stopping its apps and its broker on the way."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handle)


@contextlib.contextmanager
def broker(cluster: Cluster | None) -> Iterator[Cluster]:
    """The named cluster, or one of a broker that lives as long as the context."""
    with broker_process(cluster) as (named, _):
        yield named


@contextlib.contextmanager
def broker_process(
    cluster: Cluster | None, properties: Mapping[str, str] | None = None
) -> Iterator[tuple[Cluster, LocalKafka | None]]:
    """The same with the broker itself when it was started here, whose process and files can be measured."""
    if cluster is not None:
        yield cluster, None
    else:
        click.echo("starting a local Apache Kafka …", err=True)
        with LocalKafka(low_latency=True, properties=properties) as kafka:
            yield Cluster(kafka.bootstrap_servers, client=cluster_options.chosen_client()), kafka
