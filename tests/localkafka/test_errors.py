"""What `localkafka` says when it cannot start: one sentence, an exit code, no traceback."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jgo.maven import Artifact

from localkafka import BadConfigurationError, BrokerError, LocalKafka, broker, directory, jars, node, ports
from localkafka.__main__ import main
from localkafka.directory import DataDirectory
from localkafka.jvm import last_lines
from localkafka.security import secure


@pytest.fixture
def no_jars(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that end before Java would start."""
    monkeypatch.setattr(broker, "class_path", tuple)


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty Maven repository, a home without settings, and one jar to fetch."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
    pins = tmp_path / "jars.txt"
    pins.write_text(f"# comment\norg.example:thing:1.0 {'0' * 64}\n", "ascii")
    monkeypatch.setattr(jars, "PINS", pins)
    jars._settings.cache_clear()
    yield tmp_path / "repository"
    jars._settings.cache_clear()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def run(*options: str) -> Result:
    result = CliRunner().invoke(main, options)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result


@pytest.mark.usefixtures("no_jars")
def test_a_busy_port(taken_port: int) -> None:
    result = run("--port", str(taken_port))
    assert result.exit_code == 78
    assert f"port {taken_port} cannot be used (Address already in use): stop what listens there" in result.stderr


@pytest.mark.usefixtures("no_jars")
def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    result = run("--port", "0", "--data-dir", str(tmp_path))
    assert result.exit_code == 78
    assert f"{tmp_path} holds other files" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.usefixtures("no_jars")
def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert result.exit_code == 78
    assert f"cannot use the data directory {tmp_path / 'file' / 'data'}: Not a directory" in result.stderr


@pytest.mark.usefixtures("no_jars")
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "NEEDED_BYTES", 1 << 60)
    result = run("--port", "0", "--data-dir", str(tmp_path))
    assert result.exit_code == 69
    assert "MB left; Apache Kafka needs" in result.stderr


def test_secrets_stay_the_same_for_the_same_user(tmp_path: Path) -> None:
    first = secure(tmp_path, tls=True, sasl=True, users=None)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert secure(tmp_path, tls=True, sasl=True, users=None).users == first.users
    assert {path: path.read_bytes() for path in files} == files
    secure(tmp_path, tls=True, sasl=True, users={"other": "password"})
    assert all(path.read_bytes() != text for path, text in files.items())


@pytest.mark.parametrize("name", ["localkafka", "", "a b", "a=b", '"'])
def test_a_user_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfigurationError, match="cannot be a user's name"):
        secure(tmp_path, tls=False, sasl=True, users={name: "password"})


@pytest.mark.usefixtures("no_jars")
def test_a_data_directory_of_other_nodes(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.take(3)
    directory.release()
    result = run("--port", "0", "--data-dir", str(tmp_path))
    assert result.exit_code == 78
    assert f"{tmp_path} is of a cluster with --nodes 3" in result.stderr


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("Artifact org.example:thing not found"), "RuntimeError: Artifact org.example:thing not found"),
        (OSError("HTTPSConnectionPool(): Max retries (Caused by: Connection refused')"), "OSError: Connection refused"),
    ],
)
def test_a_registry_that_cannot_be_reached(
    cold: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str
) -> None:
    def fail(_artifact: Artifact) -> Path:
        raise error

    monkeypatch.setattr(Artifact, "resolve", fail)
    with pytest.raises(BrokerError, match=r"later ones do not.*HTTPS_PROXY.*mirror") as caught:
        jars.class_path()
    assert f"cannot download org.example:thing:1.0 ({cause})" in caught.value.message
    assert caught.value.exit_code == 69
    assert not list(cold.rglob("*.jar"))


def test_a_disk_that_cannot_keep_the_jars(cold: Path) -> None:
    cold.write_text("in the way")
    with pytest.raises(BrokerError, match=f"cannot keep Kafka's jars in {cold}: File exists"):
        jars.class_path()


def test_a_jar_that_does_not_match_its_pin_is_thrown_away(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(artifact: Artifact) -> Path:
        path = cold / "org/example/thing/1.0/thing-1.0.jar"
        assert path == artifact.cached_path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"tampered")
        return path

    monkeypatch.setattr(Artifact, "resolve", download)
    with pytest.raises(BrokerError, match=r"org\.example:thing:1\.0 arrived with a wrong SHA-256"):
        jars.class_path()
    assert not list(cold.rglob("*.jar"))


@pytest.mark.parametrize(("replaced", "used"), [("central", True), ("*,!other", True), ("other", False)])
def test_a_mirror_in_the_maven_settings(cold: Path, replaced: str, used: bool) -> None:
    settings = Path.home() / ".m2" / "settings.xml"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><mirrors><mirror><id>m</id>'
        f"<mirrorOf>{replaced}</mirrorOf><url>https://mirror.invalid/maven/</url></mirror></mirrors></settings>"
    )
    assert (jars._remotes()["central"] == "https://mirror.invalid/maven") == used


def test_the_pins_have_one_version_of_kafka() -> None:
    names = [line.split()[0] for line in jars.PINS.read_text("ascii").splitlines()[1:]]
    kafka = [name for name in names if name.startswith("org.apache.kafka:")]
    assert len(kafka) > 10
    assert all(name.endswith(f":{jars.KAFKA_VERSION}") for name in kafka)
    assert len({name.rsplit(":", 1)[0] for name in names}) == len(names)


def test_the_last_lines_are_the_telling_ones(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    log.write_text("12:00 INFO fine (X)\n12:01 ERROR broken (Y)\njava.lang.Error: why\n\tat Z\n12:02 INFO bye (X)\n")
    assert last_lines(log) == "  12:01 ERROR broken (Y)\n  java.lang.Error: why"
    assert last_lines(log, 1) == "  java.lang.Error: why"
    assert last_lines(tmp_path / "none") == "  (no log)"


@pytest.mark.kafka
def test_a_broker_that_dies_at_its_start_shows_its_last_lines(tmp_path: Path) -> None:
    kafka = LocalKafka(data_dir=tmp_path, properties={"num.io.threads": "none"})
    with pytest.raises(BrokerError, match="exit code 1") as caught:
        kafka.start()
    assert "Invalid value none for configuration num.io.threads" in caught.value.message
    assert str(tmp_path / "broker.log") in caught.value.message
    assert caught.value.exit_code == 69
    assert kafka.pid is None


@pytest.mark.kafka
def test_a_port_that_another_process_was_quicker_to_take(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = [taken_port]
    free_port = ports.free_port
    monkeypatch.setattr(node, "free_port", lambda besides: choices.pop() if choices else free_port(besides))
    with LocalKafka() as kafka:
        assert kafka.port != taken_port
        assert choices == []
        with pytest.raises(BadConfigurationError, match="choose another port"):
            LocalKafka(port=kafka.port).start()
