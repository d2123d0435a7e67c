"""Faults that no real broker can be made to have, each found and named in time; the real ones are in tests/system."""

import os
import socket
import ssl
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.errors import BrokerUnavailableError, ConfigurationError, EdgeError, NotAuthorisedError
from edge.probe import find_fault
from edge.scram import Scram, ScramError
from edge.security import Secret, Security
from tests.edge.certificates import Authority, Identity
from tests.edge.fake_broker import VERSIONS, Handler, answer, answering, metadata, receive, scram, serve

PLAIN = Security()
ADA = Security("SASL_PLAINTEXT", username="ada", password=Secret("correct horse"))
ADA_PLAIN = Security("SASL_PLAINTEXT", mechanism="PLAIN", username="ada", password=Secret("correct horse"))
OPEN = answering({18: VERSIONS})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder, "ours")


def fault_of(server: str, security: Security = PLAIN, timeout_s: float = 1.0) -> EdgeError:
    started = time.monotonic()
    fault = find_fault(server, security, timeout_s)
    assert time.monotonic() - started < timeout_s + 2.5
    assert fault is not None
    assert "\n" not in fault.message
    assert "correct horse" not in fault.message
    return fault


def tls_server(identity: Identity, wants: Path | None = None, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    if newest is not None:
        context.maximum_version = newest
    if wants is not None:
        context.load_verify_locations(wants)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_broker_without_a_fault_has_none(authority: Authority) -> None:
    with serve(OPEN) as server:
        assert find_fault(server, PLAIN) is None
    with serve(OPEN, tls_server(authority.sign(["localhost"]))) as server:
        assert find_fault(server, Security("SSL", authority.pem)) is None
    with serve(scram("correct horse")) as server:
        assert find_fault(server, ADA) is None


def test_nothing_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    fault = fault_of(f"localhost:{port}")
    assert isinstance(fault, BrokerUnavailableError)
    assert fault.message == f"no Kafka broker at localhost:{port} (Connection refused)"
    for host in ("no-such-host.invalid", "a" * 70, "ümläut..de"):
        assert isinstance(fault_of(f"{host}:9092"), BrokerUnavailableError)


def silent(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def dripping(connection: socket.socket) -> None:
    connection.sendall(struct.pack(">ii", 100_000, 18))
    end = threading.Event()
    while not end.wait(0.01):
        connection.sendall(b"x")


def misnumbering(connection: socket.socket) -> None:
    good = {18: VERSIONS, 3: metadata(connection.getsockname()[1])}
    while body := good[receive(connection)[0]]:
        connection.sendall(struct.pack(">ii", 4 + len(body), 99) + body)


@pytest.mark.parametrize(
    "handler",
    [
        silent,
        misnumbering,
        dripping,
        lambda connection: None,
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda connection: connection.sendall(struct.pack(">ii", 2**31 - 1, 18)),
        lambda connection: connection.sendall(struct.pack(">ii", -1, 18)),
        answering({18: VERSIONS + bytes(2_000_000)}),
        answering({18: b""}),
        answering({18: struct.pack(">hi", 0, 2**31 - 1)}),
        answering({18: struct.pack(">hi", 0, -5)}),
        answering({18: struct.pack(">hi", 35, 0)}),
        answering({18: VERSIONS, 3: b""}),
        answering({18: VERSIONS, 3: b"\0"}),
        answering({18: VERSIONS, 3: struct.pack(">i", 0)}),
    ],
)
def test_what_does_not_answer_like_a_broker_is_unavailable_and_never_believed(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.probe._SECOND_LOOK_S", 0.2)
    with serve(handler) as server:
        assert isinstance(fault_of(server, PLAIN, 0.2), BrokerUnavailableError)
        assert isinstance(fault_of(server, ADA, 0.2), BrokerUnavailableError)
        assert isinstance(fault_of(server, Security("SSL"), 0.2), BrokerUnavailableError | ConfigurationError)


def test_a_certificate_that_is_not_good_is_named(folder: Path, authority: Authority) -> None:
    now = datetime.now(UTC)
    day = timedelta(days=1)
    cases = [
        (authority.sign(["localhost"], not_before=now - 2 * day, not_after=now - day), "has expired"),
        (authority.sign(["localhost"], not_before=now + day, not_after=now + 2 * day), "clock"),
        (authority.sign(["elsewhere"]), "made out to another name"),
        (Authority(folder, "theirs").sign(["localhost"]), f"not vouched for by {authority.pem}"),
    ]
    for identity, words in cases:
        with serve(OPEN, tls_server(identity)) as server:
            fault = fault_of(server, Security("SSL", authority.pem))
            assert isinstance(fault, ConfigurationError)
            assert words in fault.message
            address = server.replace("localhost", "127.0.0.1")
            assert isinstance(fault_of(address, Security("SSL", authority.pem)), ConfigurationError)
    with serve(OPEN, tls_server(authority.sign(["localhost"]))) as server:
        assert "authorities of this system" in fault_of(server, Security("SSL")).message


def test_a_connection_that_is_damaged_on_the_way_is_a_fault_at_any_step(authority: Authority) -> None:
    security = Security("SASL_SSL", authority.pem, username="ada", password=Secret("correct horse"))
    for answers in ({}, {18: VERSIONS}, {18: VERSIONS, 17: mechanisms(0, b"SCRAM-SHA-256")}):

        def damage(connection: socket.socket, answers: dict[int, bytes] = answers) -> None:
            for body in answers.values():
                answer(connection, receive(connection)[0], body)
            receive(connection)
            os.write(connection.fileno(), bytes(100))
            silent(connection)

        with serve(damage, tls_server(authority.sign(["localhost"]))) as server:
            assert isinstance(fault_of(server, security), BrokerUnavailableError | ConfigurationError)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_missing_or_refused_is_named(
    folder: Path, authority: Authority, newest: ssl.TLSVersion
) -> None:
    strangers = Authority(folder, f"strangers{newest}").sign(["client"])
    with serve(OPEN, tls_server(authority.sign(["localhost"]), authority.pem, newest)) as server:
        missing = fault_of(server, Security("SSL", authority.pem))
        refused = fault_of(server, Security("SSL", authority.pem, strangers.certificate, strangers.key))
        client = authority.sign(["client"])
        assert find_fault(server, Security("SSL", authority.pem, client.certificate, client.key)) is None
    assert isinstance(missing, NotAuthorisedError)
    assert "give --tls-certificate" in missing.message
    assert isinstance(refused, NotAuthorisedError)
    assert f"refuses the certificate {strangers.certificate}" in refused.message


def test_two_sides_that_disagree_about_tls_are_told_apart(authority: Authority) -> None:
    with serve(OPEN, tls_server(authority.sign(["localhost"]))) as server:
        assert "speaks TLS and this client does not" in fault_of(server).message
        assert isinstance(fault_of(server), ConfigurationError)
        assert "speaks TLS and this client does not" in fault_of(server, ADA).message
    with serve(OPEN) as server:
        fault = fault_of(server, Security("SSL", authority.pem))
        assert isinstance(fault, ConfigurationError)
        assert f"{server} does not speak TLS" in fault.message


def test_a_broker_that_sends_its_clients_somewhere_else_is_followed_there(authority: Authority) -> None:
    with serve(OPEN) as target:
        good, bad = int(target.split(":")[1]), metadata(1)
        with serve(answering({18: VERSIONS, 3: metadata(good)})) as server:
            assert find_fault(server, PLAIN) is None
        with serve(answering({18: VERSIONS, 3: bad})) as server:
            fault = fault_of(server)
    assert isinstance(fault, BrokerUnavailableError)
    where = f"{server} sends its clients on to localhost:1, where they fail: "
    assert fault.message == f"{where}no Kafka broker at localhost:1 (Connection refused)"
    other_name = tls_server(authority.sign(["127.0.0.1"]))
    with serve(OPEN, other_name) as server:
        address = server.replace("localhost", "127.0.0.1")
        fault = fault_of(address, Security("SSL", authority.pem))
    assert isinstance(fault, ConfigurationError)
    assert f"sends its clients on to {server}, where they fail: the certificate of" in fault.message


def mechanisms(code: int, *names: bytes) -> bytes:
    return struct.pack(">hi", code, len(names)) + b"".join(struct.pack(">h", len(name)) + name for name in names)


def test_two_sides_that_disagree_about_sasl_are_told_apart() -> None:
    with serve(answering({18: VERSIONS, 3: b"", 17: mechanisms(33, b"PLAIN", b"OAUTH\x1b[2J")})) as server:
        for security, words in ((PLAIN, "wants a user name and password"), (ADA, "does not offer SCRAM-SHA-256")):
            fault = fault_of(server, security)
            assert isinstance(fault, ConfigurationError)
            assert words in fault.message
            assert "PLAIN, OAUTH" in fault.message
            assert "\x1b" not in fault.message
    with serve(answering({18: VERSIONS, 17: mechanisms(34)})) as server:
        fault = fault_of(server, ADA)
        assert isinstance(fault, ConfigurationError)
        assert "takes no user name" in fault.message


def test_a_refused_login_is_not_authorised_and_the_brokers_words_are_not_repeated() -> None:
    words = b"no: correct horse"
    refusal = struct.pack(">hh", 58, len(words)) + words + struct.pack(">i", 0)
    with serve(answering({18: VERSIONS, 17: mechanisms(0, b"PLAIN"), 36: refusal})) as server:
        for security in (ADA, ADA_PLAIN):
            fault = fault_of(server, security)
            assert isinstance(fault, NotAuthorisedError)
            assert "refuses the password of 'ada'" in fault.message


def test_half_an_answer_is_no_login() -> None:
    with serve(answering({18: VERSIONS, 17: mechanisms(0, b"PLAIN"), 36: b"\0\0"})) as server:
        assert isinstance(fault_of(server, ADA_PLAIN), BrokerUnavailableError)


@pytest.mark.parametrize(
    "rogue",
    [
        scram("correct horse", signs_as="guess"),
        scram("correct horse", iterations=1),
        scram("correct horse", iterations=9_999_999),
        scram("correct horse", nonce_prefix="fixed"),
    ],
)
def test_a_server_that_does_not_know_the_password_gets_no_trust(rogue: Handler) -> None:
    with serve(rogue) as server:
        fault = fault_of(server, ADA)
    assert isinstance(fault, NotAuthorisedError)
    assert "may not be the broker" in fault.message


def test_plain_sends_the_password_only_after_the_server_has_offered_it() -> None:
    seen = []

    def listen(connection: socket.socket) -> None:
        seen.append(receive(connection))

    with serve(listen) as server:
        fault_of(server, ADA_PLAIN)
    assert all(b"correct horse" not in body for _, body in seen)


def test_scram_computes_what_rfc_7677_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "rOprNGfwEbeRWgbNEkqO")
    exchange = Scram("SCRAM-SHA-256", "user", "pencil")
    assert exchange.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    final = exchange.final(b"r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert final == b"c=biws,r=" + nonce + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    exchange.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")  # pragma: allowlist secret
    for forged in (b"v=AAAA", b"", b"e=other-error", b"v=%", b"\xff", "v=é".encode()):
        with pytest.raises(ScramError):
            exchange.verify(forged)
    with pytest.raises(ScramError):
        Scram("SCRAM-SHA-256", "user", "pencil").verify(b"v=")
