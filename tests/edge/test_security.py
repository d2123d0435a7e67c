"""What secures a connection: which parts fit together, what is said when they do not, and that secrets stay secret."""

import copy
import logging
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edge import cluster_options
from edge.cluster import Cluster, without_cluster
from edge.confluent_options import connection_options
from edge.errors import ConfigurationError
from edge.security import Secret, Security, read_secret
from tests.edge.certificates import Authority, Identity, encrypt

PASSWORD = "correct horse"  # pragma: allowlist secret


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Identity:
    return authority.sign(["client"])


def sasl(**parts: Any) -> Security:
    return Security(**{"protocol": "SASL_SSL", "username": "ada", "password": Secret(PASSWORD), **parts})


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(PASSWORD)
    security = sasl(password=secret)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", "%s %r" % (secret, secret)]  # noqa: UP031
    shown += [repr(security), repr(Cluster("a:1", security=security)), repr(copy.copy(secret)), repr([secret])]
    assert not [text for text in shown if PASSWORD in text]
    assert secret.reveal() == PASSWORD
    assert secret == Secret(PASSWORD) != Secret("other")


@pytest.mark.parametrize(
    ("parts", "advice"),
    [
        ({"protocol": "TLS"}, "must be one of PLAINTEXT, SSL"),
        ({"protocol": "SASL_SSL", "mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
        ({"ca": Path("ca.pem")}, "set --security-protocol to SSL"),
        ({"protocol": "SSL", "certificate": Path("a.pem")}, "name it with --tls-key"),
        ({"protocol": "SSL", "key": Path("a.key")}, "name it with --tls-certificate"),
        ({"protocol": "SSL", "key_password": Secret("x")}, "name the key with --tls-key"),
        ({"protocol": "SSL", "username": "ada"}, "set --security-protocol to SASL_SSL"),
        ({"password": Secret("x")}, "set --security-protocol to SASL_SSL"),
        ({"protocol": "SASL_SSL"}, "--sasl-username"),
        ({"protocol": "SASL_SSL", "username": "ada"}, "EDGE_SASL_PASSWORD"),
        ({"protocol": "SASL_SSL", "username": "ada", "password": Secret("")}, "EDGE_SASL_PASSWORD"),
        ({"protocol": "SASL_SSL", "username": "a\0b", "password": Secret("x")}, "NUL"),
        ({"protocol": "SASL_SSL", "username": "ada", "password": Secret("\udcff")}, "UTF-8"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_advice(parts: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Security(**parts)


def test_files_that_can_be_used_make_a_context_that_verifies(authority: Authority, client: Identity) -> None:
    encrypted = encrypt(client.key, PASSWORD)
    for key, password in ((client.key, None), (encrypted, Secret(PASSWORD))):
        context = Security("SSL", authority.pem, client.certificate, key, password).ssl_context
        assert context is not None
        assert context.check_hostname
        assert context.verify_mode.name == "CERT_REQUIRED"
        assert context.minimum_version.name == "TLSv1_2"
        assert len(context.get_ca_certs()) == 1
    assert Security().ssl_context is None


def test_files_that_cannot_be_used_are_named(authority: Authority, client: Identity, tmp_path: Path) -> None:
    encrypted, other = encrypt(client.key, PASSWORD), authority.sign(["other"])
    text, damaged = tmp_path / "text", tmp_path / "damaged"
    text.write_text("hello")
    damaged.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    missing = tmp_path / "missing"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca": missing}, f"cannot read {missing}: No such file"),
        ({"ca": tmp_path}, "Is a directory"),
        ({"ca": text}, f"{text} holds no certificate in PEM"),
        ({"ca": damaged}, "damaged"),
        ({"ca": Path("/dev/zero")}, "larger than"),
        ({"certificate": missing, "key": client.key}, f"cannot read {missing}"),
        ({"certificate": client.certificate, "key": text}, f"{text} holds no private key in PEM"),
        ({"certificate": client.key, "key": client.key}, "holds no certificate in PEM"),
        ({"certificate": damaged, "key": client.key}, "damaged"),
        ({"certificate": client.certificate, "key": other.key}, "does not belong to the certificate"),
        ({"certificate": client.certificate, "key": encrypted}, "EDGE_TLS_KEY_PASSWORD"),
        ({"certificate": client.certificate, "key": encrypted, "key_password": Secret("wrong")}, "its password is"),
        ({"certificate": client.certificate, "key": encrypted, "key_password": Secret("x" * 2000)}, "its password is"),
    ]
    for files, message in cases:
        with pytest.raises(ConfigurationError) as caught:
            _ = Security("SSL", **files).ssl_context
        assert message in caught.value.message


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secrets_file_may_end_in_a_line_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(f" {PASSWORD} {end}".encode())
    assert read_secret(path).reveal() == f" {PASSWORD} "


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe", b"x" * 5000])
def test_a_file_that_holds_no_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="password") as caught:
        read_secret(path)
    assert "one" not in caught.value.message.replace("password", "")


def test_scram_escapes_a_name_and_plain_does_not() -> None:
    assert sasl(username="a,b=c").sasl_name == "a=2Cb=3Dc"
    assert sasl(username="a,b=c", mechanism="PLAIN").sasl_name == "a,b=c"


@click.command()
@cluster_options.cluster
def command(cluster: Cluster) -> None:
    """Shows what the options came to."""
    security = cluster.security
    secrets = [secret and secret.reveal() for secret in (security.password, security.key_password)]
    click.echo(f"{cluster.bootstrap_servers} {security.protocol} {security.mechanism} {secrets}")


def came_to(*options: str, **environment: str) -> str:
    # A variable set to None is removed: the tests' own environment may hold some.
    outer: dict[str, str | None] = {name: None for name in os.environ if name.startswith("EDGE_")}
    return CliRunner().invoke(command, options, env={**outer, **environment}).output.strip()


def test_what_protects_follows_from_what_is_given() -> None:
    assert came_to() == "localhost:9092 PLAINTEXT SCRAM-SHA-256 [None, None]"
    assert came_to("--tls-ca", "ca.pem") == "localhost:9092 SSL SCRAM-SHA-256 [None, None]"
    secure = came_to("--sasl-username", "ada", EDGE_SASL_PASSWORD="pw", EDGE_BOOTSTRAP_SERVERS="a:1")
    assert secure == "a:1 SASL_SSL SCRAM-SHA-256 ['pw', None]"
    chosen = came_to(
        EDGE_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        EDGE_SASL_MECHANISM="SCRAM-SHA-512",
        EDGE_SASL_USERNAME="ada",
        EDGE_SASL_PASSWORD="pw",  # pragma: allowlist secret
    )
    assert chosen == "localhost:9092 SASL_PLAINTEXT SCRAM-SHA-512 ['pw', None]"


def test_a_password_comes_from_the_environment_or_a_file_and_from_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("from file\n")
    user = ("--sasl-username", "ada")
    assert "['from file', None]" in came_to(*user, "--sasl-password-file", str(path))
    assert "['from file', None]" in came_to(*user, EDGE_SASL_PASSWORD_FILE=str(path))
    both = came_to(*user, EDGE_SASL_PASSWORD_FILE=str(path), EDGE_SASL_PASSWORD="pw")
    assert both == "Error: both EDGE_SASL_PASSWORD and --sasl-password-file give a password: leave one of them out"
    assert "['from file', None]" in came_to(*user, EDGE_SASL_PASSWORD_FILE=str(path), EDGE_SASL_PASSWORD="")
    assert came_to(EDGE_SASL_PASSWORD="", EDGE_TLS_KEY_PASSWORD="") == came_to()
    assert "No such option" in came_to(*user, "--sasl-password", "pw")
    key = ("--tls-certificate", "a.pem", "--tls-key", "a.key", "--tls-key-password-file", str(path))
    assert "[None, 'from file']" in came_to(*key)


def test_a_password_in_clear_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    given = {"EDGE_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "EDGE_SASL_USERNAME": "ada", "EDGE_SASL_PASSWORD": PASSWORD}
    came_to(**given)
    assert not caplog.records
    came_to(**given, EDGE_SASL_MECHANISM="PLAIN")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "in clear" in record.getMessage()
    assert PASSWORD not in record.getMessage()


def test_another_process_is_led_to_the_same_cluster_by_its_environment(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("from file\n")
    security = Security(
        "SASL_SSL", Path("ca.pem"), Path("c.pem"), Path("c.key"), Secret("kp"), "PLAIN", "ada", Secret("pw")
    )
    environment = Cluster("a:1", 3.0, security).environment()
    assert environment["EDGE_TLS_CA"] == str(Path("ca.pem").absolute())
    assert came_to(**environment) == "a:1 SASL_SSL PLAIN ['pw', 'kp']"
    stray = {"EDGE_SASL_PASSWORD_FILE": str(path), "EDGE_MODEL": "m.onnx"}
    assert without_cluster({**environment, **stray}) == {"EDGE_MODEL": "m.onnx"}


def test_librdkafka_is_told_the_same() -> None:
    security = Security(
        "SASL_SSL", Path("ca.pem"), Path("c.pem"), Path("c.key"), Secret("kp"), "PLAIN", "ada", Secret("pw")
    )
    assert connection_options(Cluster("a:1", security=security)) == {
        "bootstrap.servers": "a:1",
        "security.protocol": "SASL_SSL",
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": "ca.pem",
        "ssl.certificate.location": "c.pem",
        "ssl.key.location": "c.key",
        "ssl.key.password": "kp",  # pragma: allowlist secret
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ada",
        "sasl.password": "pw",  # pragma: allowlist secret
    }
    assert connection_options(Cluster("a:1")) == {"bootstrap.servers": "a:1", "security.protocol": "PLAINTEXT"}
