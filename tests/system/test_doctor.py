"""The doctor before real brokers, a plain and a secured one: all well, and each fault that is staged is named."""

import json
import re
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import kafka as kafka_python
import pytest

from edge import checks_device, checks_model, checks_trip, doctor
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.preflight import Finding, Preflight, Status, examine
from edge.pubsub import CLIENTS, connect
from edge.security import Secret, Security
from localkafka import LocalKafka
from tests.paths import LENET
from tests.recorder import read_all
from tests.system.processes import Process, run
from tests.system.wire import Wire

pytestmark = pytest.mark.kafka

PASSWORD, STRANGERS_PASSWORD = secrets.token_hex(9), secrets.token_hex(9)
ON_PLAIN = {"listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN"}
"""The broker's port without TLS offers one mechanism only."""


@pytest.fixture(scope="module")
def secure() -> Iterator[LocalKafka]:
    users = {"edge": PASSWORD, "stranger": STRANGERS_PASSWORD}
    with LocalKafka(tls=True, sasl=True, users=users, properties=ON_PLAIN) as broker:
        yield broker


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_device, "REQUIRED", {"good": "json"})
    monkeypatch.setattr(checks_model, "MEASURE_S", 0.01)
    monkeypatch.setattr(checks_trip, "ANSWER_S", 1.0)


def preflight(cluster: Cluster, wire: Wire) -> Preflight:
    topics = {"request": wire.requests, "prediction": wire.predictions, "dead letter": wire.dead_letters}
    own = f"own-{uuid.uuid4().hex[:8]}"
    return Preflight(cluster, ("classifier",), topics, wire.group, LENET, own_topic=own)


def on(broker: LocalKafka, listener: str, **changes: str) -> Cluster:
    """How the user `edge`, or another by the changes, gets to a listener."""
    tls = listener in ("SSL", "SASL_SSL")
    names: dict[str, str] = {"protocol": listener, "username": "edge", "password": PASSWORD, **changes}
    sasl = names["protocol"].startswith("SASL")
    return Cluster(
        broker.listeners[listener],
        security=Security(
            names["protocol"],
            broker.directory / "client" / "ca.pem" if tls and names["protocol"].endswith("SSL") else None,
            mechanism=names.get("mechanism", "SCRAM-SHA-256"),
            username=names["username"] if sasl else None,
            password=Secret(names["password"]) if sasl else None,
        ),
    )


def failures(look: Preflight) -> list[Finding]:
    return [each for each in examine(look, doctor.CHECKS) if each.status is Status.FAILURE]


def check(look: Preflight, name: str) -> Finding:
    """What the doctor finds first under a name."""
    return next(each for each in examine(look, doctor.CHECKS) if each.check == name)


def test_all_is_well_on_a_new_cluster_and_the_command_says_so(kafka: LocalKafka, wire: Wire) -> None:
    own = f"own-{uuid.uuid4().hex[:8]}"
    ended = run(
        "edge.doctor", *wire.classifier, "--doctor-topic", own, "--app", "classifier", "--app", "query", "--json"
    )
    assert ended.process.returncode == 0, ended.lines
    found = [json.loads(line) for line in ended.lines]
    assert {each["status"] for each in found} == {"ok", "warning", "skipped"}
    absent = [each["message"] for each in found if each["check"] == "topics"]
    assert absent[0] == f"there is no topic {wire.requests!r}: an app would create it, and may; is that the right name?"
    by_name = {each["check"]: each for each in found}
    assert list(by_name) == [name for check in doctor.CHECKS for name in names(check.name)]
    assert by_name["group"]["message"] == f"nobody is in {wire.group!r} yet; it may be joined"
    assert "read after" in by_name["round trip"]["message"]
    assert by_name["clock"]["status"] == "ok"
    # Nothing is left behind but the doctor's own topic, with its two records.
    assert len(read_all(kafka.bootstrap_servers, own)) == 2
    admin = kafka_python.KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    assert not {wire.requests, wire.predictions, wire.dead_letters} & set(admin.list_topics())
    assert wire.group not in {group["group_id"] for group in admin.list_groups()}
    admin.close()


def names(check: str) -> list[str]:
    return ["host name", "TCP", "TLS", "API versions", "login", "brokers"] if check == "network" else [check]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_golden_image_goes_through_a_classifier_that_runs(kafka: LocalKafka, wire: Wire, client: str) -> None:
    wire.create()
    look = replace(preflight(Cluster(wire.servers, client=client), wire), model_path=LENET)
    unanswered = list(examine(look, (*doctor.CHECKS, doctor.THROUGH)))[-1]
    assert (unanswered.status, unanswered.exit_code) == (Status.FAILURE, 69)
    assert "start an edge.classifier on these topics" in unanswered.message
    with Process("edge.classifier", *wire.classifier) as classifier, pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks_trip, "ANSWER_S", 30.0)
        found = {each.check: each for each in examine(look, (*doctor.CHECKS, doctor.THROUGH))}
        assert classifier.terminate() == 0
    assert found["classifier"].status is Status.OK, found
    assert "a golden image was answered with " in found["classifier"].message
    assert all(each.status is Status.OK for each in found.values()), found


def test_each_fault_of_a_topic_is_named(kafka: LocalKafka, wire: Wire) -> None:
    look = preflight(Cluster(wire.servers), wire)
    with connect(wire.servers) as pubsub:
        pubsub.create_topic(wire.requests, 2, {"compression.type": "zstd", "max.message.bytes": "1000"})
    found = [each for each in examine(look, doctor.CHECKS) if each.check == "topics" and wire.requests in each.message]
    assert [(each.status, each.exit_code) for each in found] == [(Status.FAILURE, 78), (Status.WARNING, 0)]
    assert "an image of the model has 784 bytes and up to 512 around it" in found[0].message
    assert "takes records of 1000 at most: kafka-configs.sh --alter --entity-type topics --ent" in found[0].message
    assert found[1].message.startswith(f"{wire.requests!r} has compression.type=zstd; with uncompressed, the broker ")
    assert found[1].message.endswith(f"--entity-name {wire.requests} --add-config compression.type=uncompressed")


def test_what_the_doctor_calls_too_small_is_what_the_apps_meet(kafka: LocalKafka, wire: Wire) -> None:
    needed = 784 + 512
    with connect(wire.servers) as pubsub:
        pubsub.create_topic(wire.requests, 1, {**REQUEST_TOPIC_CONFIG, "max.message.bytes": str(needed)})
    assert check(preflight(Cluster(wire.servers), wire), "topics").status is Status.OK
    query = ("edge.query", "--limit", "1", "--device", "d" * 64, "--bootstrap-servers", wire.servers)
    assert run(*query, "--request-topic", wire.requests).lines == ["1 images sent and acknowledged"]


@pytest.mark.parametrize(("off_s", "words"), [(7.0, "ahead of"), (-7.0, "behind")])
def test_a_clock_that_is_off_is_a_warning_that_says_by_how_much(
    kafka: LocalKafka, wire: Wire, off_s: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_trip, "_now", lambda: time.time() + off_s)
    found = check(preflight(Cluster(wire.servers), wire), "clock")
    assert found.status is Status.WARNING
    assert re.match(rf"this clock is (6\.[5-9]|7\.\d) s {words}", found.message)
    assert "set both by NTP" in found.message


def test_a_topic_of_its_own_that_does_not_show_the_brokers_time_measures_nothing(kafka: LocalKafka, wire: Wire) -> None:
    look = preflight(Cluster(wire.servers), wire)
    with connect(wire.servers) as pubsub:
        pubsub.create_topic(look.own_topic)
    assert check(look, "clock").status is Status.SKIPPED


def test_the_right_client_finds_nothing_on_the_secured_broker(secure: LocalKafka, wire: Wire) -> None:
    for listener in ("SSL", "SASL_SSL"):
        assert failures(preflight(on(secure, listener), wire)) == []


@pytest.mark.parametrize(
    ("listener", "changes", "step", "code", "words"),
    [
        (
            "SASL_SSL",
            {"password": STRANGERS_PASSWORD},
            "login",
            77,
            "refuses the password of 'edge', or does not know that user",
        ),
        ("SASL_SSL", {"protocol": "SSL"}, "login", 78, "wants a user name and password ("),
        ("SASL_SSL", {"protocol": "PLAINTEXT"}, "API versions", 78, "speaks TLS and this client does not: set --sec"),
        (
            "SASL_PLAINTEXT",
            {"mechanism": "SCRAM-SHA-512"},
            "login",
            78,
            "set --sasl-mechanism to what it does offer (PLAIN)",
        ),
        ("SASL_PLAINTEXT", {"protocol": "SASL_SSL"}, "TLS", 78, "does not speak TLS: name its TLS port"),
        ("SSL", {"protocol": "SASL_SSL"}, "login", 78, "takes no user name: set --security-protocol to SSL"),
    ],
)
def test_each_fault_of_a_login_is_named(
    secure: LocalKafka, wire: Wire, listener: str, changes: dict[str, str], step: str, code: int, words: str
) -> None:
    (fault,) = failures(preflight(on(secure, listener, **changes), wire))
    assert (fault.check, fault.exit_code, words in fault.message) == (step, code, True), fault


@pytest.mark.parametrize(
    ("kind", "what", "right", "found_by"),
    [
        ("TOPIC", "requests", "READ", "rights"),
        ("TOPIC", "predictions", "WRITE", "rights"),
        ("TOPIC", "predictions", "DESCRIBE", "rights"),
        ("GROUP", "group", "READ", "group"),
    ],
)
def test_a_missing_right_is_named(
    secure: LocalKafka, wire: Wire, kind: str, what: str, right: str, found_by: str
) -> None:
    name = getattr(wire, what)
    with connect(secure.listeners["PLAINTEXT"]) as pubsub:
        for topic in (wire.requests, wire.predictions, wire.dead_letters):
            pubsub.create_topic(topic, 1, REQUEST_TOPIC_CONFIG)
    with secure.denied("edge", kind, name, right):
        (fault,) = failures(preflight(on(secure, "SASL_SSL"), wire))
    assert (fault.check, fault.exit_code) == (found_by, 77)
    assert f"needs {right} " in fault.message
    assert f"on the {kind.lower()} {name!r}; ask whoever runs the broker" in fault.message


def test_a_topic_that_may_not_be_created_is_a_failure_unless_it_is_the_doctors(secure: LocalKafka, wire: Wire) -> None:
    look = preflight(on(secure, "SASL_SSL"), wire)
    with (
        secure.denied("edge", "TOPIC", wire.requests, "CREATE"),
        secure.denied("edge", "TOPIC", look.own_topic, "CREATE"),
    ):
        found = list(examine(look, doctor.CHECKS))
    (fault,) = [each for each in found if each.status is Status.FAILURE]
    assert (fault.check, fault.exit_code) == ("topics", 77)
    assert fault.message.startswith(
        f"there is no topic {wire.requests!r}; creating the topic {wire.requests!r}: this user"
    )
    trip, clock = found[-2:]
    assert (trip.status, clock.status) == (Status.WARNING, Status.SKIPPED)
    assert f"creating the topic {look.own_topic!r}: this user needs CREATE on the topic" in trip.message


def test_a_user_without_any_right_is_told_each_that_is_missing(secure: LocalKafka, wire: Wire) -> None:
    found = failures(preflight(on(secure, "SASL_SSL", username="stranger", password=STRANGERS_PASSWORD), wire))
    assert [(each.check, each.exit_code) for each in found] == [("rights", 77)] * 3 + [("group", 77)]
    assert f"edge.classifier: this user needs DESCRIBE and READ on the topic {wire.requests!r}" in found[0].message
