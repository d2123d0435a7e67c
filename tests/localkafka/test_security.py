"""The secure broker: each listener takes the right client and refuses a wrong one, and rights are what they say."""

import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import kafka as kafka_python
import pytest
import trustme

from localkafka import LocalKafka
from localkafka.rights import rules
from tests.localkafka.clients import (
    DEADLINE_S,
    TOPIC,
    USERS,
    certificate,
    consume,
    login,
    refusal,
    send,
    tls,
    transact,
)
from tests.localkafka.command import command

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def secure() -> Iterator[LocalKafka]:
    with LocalKafka(tls=True, sasl=True, users=USERS) as kafka:
        admin = kafka_python.KafkaAdminClient(bootstrap_servers=kafka.listeners["PLAINTEXT"])
        admin.create_topics([kafka_python.admin.NewTopic(TOPIC, 1, 1)])
        admin.close()
        yield kafka


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A client whose certificate, and whose trust, come from another authority."""
    directory = tmp_path_factory.mktemp("stranger")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", common_name="edge")
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "client.pem"))
    pem = str(directory / "client.pem")
    return {"ca": str(directory / "ca.pem"), "certificate": pem, "key": pem}


def test_the_right_client_of_each_listener_is_let_in(secure: LocalKafka) -> None:
    assert secure.bootstrap_servers == secure.listeners["SASL_SSL"]
    send(secure, "PLAINTEXT", "PLAINTEXT", {})
    send(secure, "SSL", "SSL", tls(secure))
    send(secure, "MTLS", "SSL", tls(secure) | certificate(secure))
    for mechanism in MECHANISMS:
        send(secure, "SASL_PLAINTEXT", "SASL_PLAINTEXT", login(mechanism))
        send(secure, "SASL_SSL", "SASL_SSL", tls(secure) | login(mechanism))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_kafka_python_is_let_in(secure: LocalKafka, mechanism: str) -> None:
    client = secure.directory / "client"
    producer = kafka_python.KafkaProducer(
        bootstrap_servers=secure.bootstrap_servers,
        security_protocol="SASL_SSL",
        ssl_cafile=str(client / "ca.pem"),
        sasl_mechanism=mechanism,
        sasl_plain_username="edge",
        sasl_plain_password=(client / "password").read_text(),
    )
    producer.send(TOPIC, b"1").get(DEADLINE_S)
    producer.close()


def test_an_untrusted_certificate_is_refused_on_both_sides(secure: LocalKafka, stranger: dict[str, str]) -> None:
    foreign_ca = {"ssl.ca.location": stranger["ca"]}
    foreign = {"ssl.certificate.location": stranger["certificate"], "ssl.key.location": stranger["key"]}
    for error in (
        refusal(secure, "SSL", "SSL", foreign_ca),
        refusal(secure, "SASL_SSL", "SASL_SSL", foreign_ca | login("PLAIN")),
    ):
        assert "certificate verify failed" in error
    assert "alert certificate" in refusal(secure, "MTLS", "SSL", tls(secure) | foreign)
    assert "alert certificate" in refusal(secure, "MTLS", "SSL", tls(secure))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_refused(secure: LocalKafka, mechanism: str) -> None:
    wrong = login(mechanism, password=USERS["reader"])
    assert refusal(secure, "SASL_PLAINTEXT", "SASL_PLAINTEXT", wrong).startswith("_AUTHENTICATION")
    assert refusal(secure, "SASL_SSL", "SASL_SSL", tls(secure) | wrong).startswith("_AUTHENTICATION")


@pytest.mark.parametrize("listener", ["SSL", "MTLS", "SASL_PLAINTEXT", "SASL_SSL"])
def test_a_plain_client_is_refused(secure: LocalKafka, listener: str) -> None:
    assert refusal(secure, listener, "PLAINTEXT", {}).startswith(("_TRANSPORT", "_ALL_BROKERS_DOWN"))


def test_a_right_can_be_taken_away_and_given(secure: LocalKafka) -> None:
    own, reader = login("SCRAM-SHA-256"), login("SCRAM-SHA-256", "reader")
    with secure.denied("edge", "TOPIC", TOPIC, "WRITE"):
        assert refusal(secure, "SASL_PLAINTEXT", "SASL_PLAINTEXT", own).startswith("TOPIC_AUTHORIZATION_FAILED")
        assert refusal(secure, "MTLS", "SSL", tls(secure) | certificate(secure)).startswith(
            "TOPIC_AUTHORIZATION_FAILED"
        )
        send(secure, "SSL", "SSL", tls(secure))
    with secure.denied("ANONYMOUS", "TOPIC", TOPIC, "WRITE"):
        assert refusal(secure, "SSL", "SSL", tls(secure)).startswith("TOPIC_AUTHORIZATION_FAILED")
        send(secure, "SASL_PLAINTEXT", "SASL_PLAINTEXT", own)
    assert refusal(secure, "SASL_PLAINTEXT", "SASL_PLAINTEXT", reader).startswith("TOPIC_AUTHORIZATION_FAILED")
    secure.allow("reader", "TOPIC", TOPIC, "WRITE")
    send(secure, "SASL_PLAINTEXT", "SASL_PLAINTEXT", reader)


def test_the_apps_may_use_transactions_and_groups_until_it_is_denied(secure: LocalKafka) -> None:
    own = {
        "bootstrap.servers": secure.listeners["SASL_PLAINTEXT"],
        "security.protocol": "SASL_PLAINTEXT",
        "log_level": "0",
        **login("SCRAM-SHA-256"),
    }
    transact(own)
    assert consume(own) is None
    with (
        secure.denied("edge", "TRANSACTIONAL_ID", "apps", "WRITE"),
        pytest.raises(confluent_kafka.KafkaException) as no,
    ):
        transact(own)
    assert no.value.args[0].name() == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    with secure.denied("edge", "GROUP", "apps", "READ"):
        assert consume(own) == "GROUP_AUTHORIZATION_FAILED"


def test_nobody_but_the_broker_rules_the_cluster(secure: LocalKafka) -> None:
    rule = rules("edge", "CLUSTER", "kafka-cluster", ["ALL"])
    logins = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "edge"}
    for listener, options in {
        "PLAINTEXT": {},
        "SASL_PLAINTEXT": {**logins, "sasl_plain_password": USERS["edge"]},
    }.items():
        admin = kafka_python.KafkaAdminClient(bootstrap_servers=secure.listeners[listener], **options)
        assert admin.create_acls(rule)["failed"] == [kafka_python.errors.ClusterAuthorizationFailedError]
        admin.close()


def test_secrets_are_the_owners_alone(secure: LocalKafka) -> None:
    assert (secure.directory / "client" / "password").read_text() == USERS["edge"]
    assert USERS["edge"] not in secure.environment.read_text()
    secret = [path for path in secure.directory.rglob("*") if path.is_file() and _holds_secret(path)]
    names = {str(path.relative_to(secure.directory)) for path in secret}
    assert names == {"client/client.key", "client/password", "server/server.pem", "server.properties"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert {stat.S_IMODE((secure.directory / name).stat().st_mode) for name in ("client", "server")} == {0o700}
    assert secure.pid is not None
    assert not _has_secret(Path(f"/proc/{secure.pid}/cmdline").read_bytes())


def test_a_restarted_secure_broker_comes_back_the_same(secure: LocalKafka) -> None:
    before = secure.listeners, (secure.directory / "client" / "client.pem").read_bytes()
    secure.restart()
    assert (secure.listeners, (secure.directory / "client" / "client.pem").read_bytes()) == before
    send(secure, "MTLS", "SSL", tls(secure) | certificate(secure))
    send(secure, "SASL_SSL", "SASL_SSL", tls(secure) | login("SCRAM-SHA-512"))


def test_the_command_says_what_its_clients_need(tmp_path: Path) -> None:
    data = tmp_path / "dätä with 'quotes'"
    with command(tmp_path, "--sasl", "--data-dir", str(data)) as (process, servers):
        assert process.stderr is not None
        source = process.stderr.readline().partition(": ")[2].strip()
        environment = subprocess.check_output(["/bin/sh", "-c", f"{source.replace('source', '.', 1)}; env"], text=True)
        options = dict(line.split("=", 1) for line in environment.splitlines() if line.startswith("EDGE_"))
        assert options.pop("EDGE_BOOTSTRAP_SERVERS") == servers.replace("localhost", "127.0.0.1")
        password = Path(options.pop("EDGE_SASL_PASSWORD_FILE"))
        assert options == {
            "EDGE_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "EDGE_SASL_MECHANISM": "SCRAM-SHA-256",
            "EDGE_SASL_USERNAME": "edge",
        }
        admin = kafka_python.KafkaAdminClient(
            bootstrap_servers=servers,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-256",
            sasl_plain_username="edge",
            sasl_plain_password=password.read_text(),
        )
        admin.create_topics([kafka_python.admin.NewTopic(TOPIC, 1, 1)])
        admin.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        assert password.read_text() not in process.stderr.read()
    with LocalKafka(data_dir=data, tls=True) as kafka:
        assert kafka.bootstrap_servers == kafka.listeners["SSL"]
        assert set(kafka.listeners) == {"SSL", "MTLS", "PLAINTEXT"}
        send(kafka, "SSL", "SSL", tls(kafka))
        send(kafka, "MTLS", "SSL", tls(kafka) | certificate(kafka))


def _holds_secret(path: Path) -> bool:
    return _has_secret(path.read_bytes())


def _has_secret(text: bytes) -> bool:
    words = [b"PRIVATE KEY", b"pass=word", *(password.encode() for password in USERS.values())]
    return any(word in text for word in words)
