"""TLS, SASL and rights against a real Kafka: what works, how each fault is named, and that no secret gets out."""

import base64
import contextlib
import os
import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cluster import Cluster
from edge.pubsub import CLIENTS, CONFLUENT, KAFKA_PYTHON
from edge.security import Secret, Security
from localkafka import LocalKafka
from tests.paths import LENET, ROOT
from tests.recorder import read_all
from tests.system.processes import Process, run, wait_until

pytestmark = pytest.mark.kafka

CORE = secrets.token_hex(9)
PASSWORD = f"ä,=% {CORE}"
STRANGERS_PASSWORD = secrets.token_hex(9)
LISTENERS = ("SSL", "MTLS", "SASL_PLAINTEXT", "SASL_SSL")
DEADLINE_S = 20.0
"""Long for one sentence, and less than an app would wait for a broker."""

CLASSIFIER = ("edge.classifier", "--model", str(LENET))
APPS = [
    ("edge.query",),
    CLASSIFIER,
    ("edge.consumer",),
    ("edge.counter", "produce"),
    ("edge.counter", "consume"),
    ("bench.latency", "--output", "/tmp/unused.json"),  # noqa: S108 nothing is written
]


@pytest.fixture(scope="module")
def secure() -> Iterator[LocalKafka]:
    """A broker with all listeners; `stranger` may log in and has no rights."""
    with LocalKafka(tls=True, sasl=True, users={"edge": PASSWORD, "stranger": STRANGERS_PASSWORD}) as broker:
        yield broker


def access(broker: LocalKafka, listener: str, **changes: str) -> dict[str, str]:
    """The environment of an app on a listener; a change to an empty string takes a variable away."""
    client = broker.directory / "client"
    tls = {"EDGE_TLS_CA": str(client / "ca.pem")}
    mtls = {"EDGE_TLS_CERTIFICATE": str(client / "client.pem"), "EDGE_TLS_KEY": str(client / "client.key")}
    sasl = {"EDGE_SASL_USERNAME": "edge", "EDGE_SASL_PASSWORD": PASSWORD}
    variables = {
        "EDGE_BOOTSTRAP_SERVERS": broker.listeners[listener],
        "EDGE_SECURITY_PROTOCOL": "SSL" if listener == "MTLS" else listener,
        **(tls if listener in ("SSL", "MTLS", "SASL_SSL") else {}),
        **(mtls if listener == "MTLS" else {}),
        **(sasl if listener in ("SASL_PLAINTEXT", "SASL_SSL") else {}),
        **changes,
    }
    return {name: value for name, value in variables.items() if value}


def topics() -> dict[str, str]:
    """Topics and a group of one's own, by the environment."""
    name = uuid.uuid4().hex[:8]
    return {
        "EDGE_REQUEST_TOPIC": f"in-{name}",
        "EDGE_PREDICTION_TOPIC": f"out-{name}",
        "EDGE_DEAD_LETTER_TOPIC": f"dead-{name}",
        "EDGE_GROUP": f"group-{name}",
    }


def refused(environment: dict[str, str], *app: str) -> tuple[int, str]:
    """The exit code and the last words of an app that cannot go on; it must say them soon and in one sentence."""
    started = time.monotonic()
    ended = run(*app, **environment)
    took_s = time.monotonic() - started
    assert "Traceback" not in ended.log
    assert "waiting for a Kafka broker" not in ended.log
    assert ended.errors[-1].startswith("Error: ")
    assert took_s < DEADLINE_S, f"{took_s:.1f} s: {ended.log}"
    return ended.process.returncode, ended.errors[-1]


@pytest.mark.parametrize("listener", LISTENERS)
def test_every_app_works_on_every_listener(secure: LocalKafka, listener: str) -> None:
    environment = {**access(secure, listener), **topics()}
    numbers = ("--topic", f"numbers-{listener}")
    counters = {**environment, "EDGE_GROUP": f"counter-{listener}"}
    consumers = {**environment, "EDGE_GROUP": f"consumer-{listener}"}
    with (
        Process(*CLASSIFIER, **environment) as classifier,
        Process("edge.query", "--limit", "20", "--interval", "0", **environment) as query,
        Process("edge.consumer", "--limit", "20", **consumers) as consumer,
        Process("edge.counter", "produce", *numbers, "--interval", "0", **environment) as produce,
        Process("edge.counter", "consume", *numbers, "--limit", "100", **counters) as consume,
    ):
        assert [app.end() for app in (query, consumer, produce, consume)] == [0, 0, 0, 0]
        assert classifier.terminate() == 0
    assert query.lines == ["20 images sent and acknowledged"]
    assert consumer.lines[-1].startswith("20 predictions read, accuracy ")
    assert consume.lines == [f"read {n}" for n in range(1, 101)]


def test_the_other_client_works_on_every_listener(secure: LocalKafka) -> None:
    with contextlib.ExitStack() as stack:
        pairs = []
        for listener in LISTENERS:
            environment = {**access(secure, listener), **topics(), "EDGE_CLIENT": CONFLUENT}
            consumers = {**environment, "EDGE_GROUP": f"other-{listener}"}
            classifier = stack.enter_context(Process(*CLASSIFIER, **environment))
            query = stack.enter_context(Process("edge.query", "--limit", "5", "--interval", "0", **environment))
            consumer = stack.enter_context(Process("edge.consumer", "--limit", "5", **consumers))
            pairs.append((classifier, query, consumer))
        for classifier, query, consumer in pairs:
            assert (query.end(), consumer.end(), classifier.terminate()) == (0, 0, 0), classifier.log
            assert consumer.lines[-1].startswith("5 predictions read")


def test_every_mechanism_works_with_and_without_tls(secure: LocalKafka) -> None:
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                Process("edge.query", "--limit", "1", **access(secure, listener, EDGE_SASL_MECHANISM=mechanism))
            )
            for listener in ("SASL_PLAINTEXT", "SASL_SSL")
            for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        assert [process.end() for process in processes] == [0] * 6
    assert ["in clear" in process.log for process in processes] == [True, False, False, False, False, False]


def test_what_localkafka_writes_for_clients_and_one_server_of_several_is_enough(secure: LocalKafka) -> None:
    lines = secure.environment.read_text().splitlines()
    environment = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    environment["EDGE_BOOTSTRAP_SERVERS"] = f"127.0.0.1:1,{environment['EDGE_BOOTSTRAP_SERVERS']}"
    assert run("edge.query", "--limit", "1", **environment).lines == ["1 images sent and acknowledged"]


@pytest.mark.parametrize("app", [*APPS, ("edge.deadletter", "list")], ids=" ".join)
def test_every_app_says_that_the_password_is_wrong(secure: LocalKafka, app: tuple[str, ...]) -> None:
    code, words = refused(access(secure, "SASL_SSL", EDGE_SASL_PASSWORD="wrong"), *app)
    assert code == 77
    assert "refuses the password of 'edge', or does not know that user (SCRAM-SHA-256)" in words


@pytest.mark.parametrize(
    ("listener", "changes", "code", "words"),
    [
        ("SASL_SSL", {"EDGE_TLS_CA": ""}, 78, "not vouched for by the authorities of this system"),
        ("SASL_SSL", {"EDGE_SASL_MECHANISM": "PLAIN", "EDGE_SASL_PASSWORD": "no"}, 77, "refuses the password"),
        ("SASL_SSL", {"EDGE_SASL_USERNAME": "nobody"}, 77, "refuses the password of 'nobody'"),
        ("SASL_SSL", {"EDGE_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "EDGE_TLS_CA": ""}, 78, "speaks TLS and this client"),
        ("SSL", {"EDGE_SECURITY_PROTOCOL": "PLAINTEXT", "EDGE_TLS_CA": ""}, 78, "speaks TLS and this client does not"),
        ("MTLS", {"EDGE_TLS_CERTIFICATE": "", "EDGE_TLS_KEY": ""}, 77, "wants a client certificate"),
        ("SASL_PLAINTEXT", {"EDGE_SECURITY_PROTOCOL": "SASL_SSL"}, 78, "does not speak TLS"),
    ],
)
def test_each_fault_of_a_connection_has_a_sentence_of_its_own(
    secure: LocalKafka, listener: str, changes: dict[str, str], code: int, words: str
) -> None:
    ended = refused(access(secure, listener, **changes), "edge.query")
    assert (ended[0], words in ended[1]) == (code, True), ended


def test_a_port_that_asks_for_sasl_and_one_that_does_not_are_told_apart(secure: LocalKafka) -> None:
    asks, asks_not = secure.listeners["SASL_SSL"], secure.listeners["SSL"]
    without = refused(access(secure, "SSL", EDGE_BOOTSTRAP_SERVERS=asks), "edge.query")
    assert (without[0], "wants a user name and password (" in without[1]) == (78, True)
    superfluous = refused(access(secure, "SASL_SSL", EDGE_BOOTSTRAP_SERVERS=asks_not), "edge.query")
    assert (superfluous[0], "takes no user name" in superfluous[1]) == (78, True)


RIGHTS = [
    ("TOPIC", "EDGE_REQUEST_TOPIC", "READ", CLASSIFIER),
    ("TOPIC", "EDGE_PREDICTION_TOPIC", "WRITE", CLASSIFIER),
    ("TOPIC", "EDGE_DEAD_LETTER_TOPIC", "WRITE", CLASSIFIER),
    ("GROUP", "EDGE_GROUP", "READ", CLASSIFIER),
    ("TOPIC", "EDGE_REQUEST_TOPIC", "WRITE", ("edge.query",)),
    ("TOPIC", "EDGE_REQUEST_TOPIC", "CREATE", ("edge.query",)),
    ("TOPIC", "EDGE_PREDICTION_TOPIC", "READ", ("edge.consumer",)),
    ("GROUP", "EDGE_GROUP", "READ", ("edge.consumer",)),
]


RIGHTS_BY_CLIENT = [(KAFKA_PYTHON, *case) for case in RIGHTS] + [(CONFLUENT, *case) for case in RIGHTS[::2]]


@pytest.mark.parametrize(("client", "kind", "variable", "right", "app"), RIGHTS_BY_CLIENT)
def test_a_missing_right_is_named(
    secure: LocalKafka, client: str, kind: str, variable: str, right: str, app: tuple[str, ...]
) -> None:
    environment = {**access(secure, "SASL_SSL"), **topics(), "EDGE_CLIENT": client}
    with secure.denied("edge", kind, environment[variable], right):
        code, words = refused(environment, *app)
    assert code == 77
    assert f"this user needs {right} on the {kind.lower()}" in words
    assert repr(environment[variable]) in words


def test_a_missing_right_on_a_transactional_id_is_named(secure: LocalKafka) -> None:
    environment = {**access(secure, "SASL_SSL"), **topics()}
    name = f"{environment['EDGE_GROUP']}.one"
    with secure.denied("edge", "TRANSACTIONAL_ID", name, "WRITE"):
        code, words = refused(environment, *CLASSIFIER, "--delivery", "exactly-once", "--instance-id", "one")
    assert (code, name in words, "needs WRITE on the transactional id" in words) == (77, True, True), words


@pytest.mark.parametrize("app", APPS, ids=" ".join)
def test_a_user_without_any_right_is_told_so(secure: LocalKafka, app: tuple[str, ...]) -> None:
    stranger = {"EDGE_SASL_USERNAME": "stranger", "EDGE_SASL_PASSWORD": STRANGERS_PASSWORD}
    code, words = refused(access(secure, "SASL_SSL", **stranger), *app)
    assert (code, "this user needs DESCRIBE and " in words) == (77, True), words


def test_a_right_that_goes_while_an_app_runs_ends_it(secure: LocalKafka) -> None:
    environment = {**access(secure, "SASL_SSL"), **topics()}
    topic = environment["EDGE_REQUEST_TOPIC"]
    with Process("edge.query", "--interval", "0.05", **environment) as query:
        wait_until(lambda: len(read_all(secure.listeners["PLAINTEXT"], topic)) > 0, "a first request")
        with secure.denied("edge", "TOPIC", topic, "WRITE"):
            assert query.end() == 77
    assert f"writing to {topic!r}: this user needs WRITE on the topic {topic!r}" in query.errors[-1]


def cluster(broker: LocalKafka) -> Cluster:
    security = Security("SASL_SSL", broker.directory / "client" / "ca.pem", username="edge", password=Secret(PASSWORD))
    return Cluster(broker.listeners["SASL_SSL"], security=security)


def test_an_app_that_needs_no_more_than_it_has_goes_on(secure: LocalKafka) -> None:
    environment = {**access(secure, "SASL_SSL"), **topics()}
    name = environment["EDGE_REQUEST_TOPIC"]
    with cluster(secure).connect() as pubsub:
        pubsub.create_topic(name)
    with secure.denied("edge", "TOPIC", name, "CREATE", "DESCRIBE_CONFIGS"):
        ended = run("edge.query", "--limit", "1", **environment)
    assert ended.lines == ["1 images sent and acknowledged"]
    assert "WARNING" not in ended.log


def forms(password: str) -> set[str]:
    """What a password can look like: itself, escaped, as hex, and as base64 at each of its three alignments."""
    data = password.encode()
    encoded = {base64.b64encode(b"x" * shift + data).decode()[4:-4] for shift in range(3)}
    return {password, CORE, repr(data)[2:-1], data.hex(), *encoded}


DEBUG = {"PYTHONPATH": str(ROOT / "tests" / "system" / "debug")}


@pytest.mark.parametrize("client", CLIENTS)
def test_no_secret_is_in_any_log_at_any_level(secure: LocalKafka, tmp_path: Path, client: str) -> None:
    access_by_plain = access(secure, "SASL_SSL", EDGE_SASL_MECHANISM="PLAIN", EDGE_CLIENT=client)
    right = {**access_by_plain, **topics(), **DEBUG}
    scram = {**right, "EDGE_SASL_MECHANISM": "SCRAM-SHA-256", "EDGE_GROUP": "debug"}
    wrong = {**right, "EDGE_SASL_USERNAME": "nobody"}
    bench = ("bench.latency", "--rate", "50", "--duration", "1", "--warm-up", "0")
    with (
        Process(*CLASSIFIER, **right) as classifier,
        Process("edge.query", "--limit", "5", "--interval", "0", **right) as query,
        Process("edge.consumer", "--limit", "5", "-vv", **scram) as consumer,
        Process("edge.counter", "produce", "--interval", "0", **right) as counter,
        Process(*bench, "--output", str(tmp_path / "latency.json"), **right) as latency,
    ):
        wait_until(lambda: len(command_lines(latency.process.pid)) > 1, "the bench's classifier")
        seen = command_lines()
        assert [app.end() for app in (query, consumer, counter, latency)] == [0, 0, 0, 0]
        assert classifier.terminate() == 0
    working = [classifier, query, consumer, counter, latency]
    failing = [run(*app, **wrong) for app in (CLASSIFIER, ("edge.query",), ("bench.latency",))]
    assert [app.process.returncode for app in failing] == [77] * 3
    if client == KAFKA_PYTHON:
        assert all("DEBUG Starting new bootstrap" in app.log for app in working)
    texts = [*seen, *("\n".join([*app.lines, app.log]) for app in (*working, *failing))]
    found = {
        (form, text[max(0, text.index(form) - 200) :][:400])
        for form in forms(PASSWORD)
        for text in texts
        if form in text
    }
    assert not found


def command_lines(session: int | None = None) -> list[str]:
    """The command lines of all processes of this machine, or of those of one session."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if session is None or os.getsid(int(path.parent.name)) == session:
                lines.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return lines
