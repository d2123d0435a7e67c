"""Kafka's jars: pinned in `jars.txt`, fetched by jgo into the local Maven repository, checked by their SHA-256.

The pins name every jar, so nothing is resolved at run time: a log4j binding next to Kafka would otherwise bring
log4j's bill of materials, and with it kafka-clients 3.8.0.
"""

import fcntl
import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import click
import jgo
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import Artifact, MavenContext

from localkafka.errors import BrokerError

KAFKA_VERSION = "4.1.1"
ENDPOINTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3")
PINS = Path(__file__).with_name("jars.txt")
TIMEOUT_S = 30

OFFLINE_ADVICE = (
    "the first start needs the network (later ones do not); behind a proxy set HTTPS_PROXY, and name a mirror as "
    "'central' under [repositories] in ~/.config/jgo.conf or as a <mirror> in ~/.m2/settings.xml"
)


@dataclass(frozen=True)
class Jar:
    """One pinned jar and the place where it is, or will be, on this machine."""

    coordinate: str
    sha256: str
    artifact: Artifact

    @property
    def path(self) -> Path:
        """Its place in the local Maven repository (`M2_REPO`, or `~/.m2/repository`)."""
        return _repository() / self.artifact.component.path_prefix / self.artifact.filename

    def is_intact(self) -> bool:
        """Whether the whole jar is there: a killed download, by whatever tool, leaves part of one."""
        return self.path.is_file() and _sha256(self.path) == self.sha256


def class_path(pins: Path | None = None, name: str = f"Apache Kafka {KAFKA_VERSION}") -> tuple[Path, ...]:
    """The jars that a file of pins lists, by default the broker's, after fetching those that this machine lacks.

    Raises: BrokerError when a jar cannot be downloaded, kept, or does not match its pin.
    """
    try:
        jars = pinned(PINS if pins is None else pins)
        if not all(jar.is_intact() for jar in jars):
            with _one_download_at_a_time(_repository()):
                _fetch([jar for jar in jars if not jar.is_intact()], name)
    except OSError as error:
        raise BrokerError(f"cannot keep Kafka's jars in {_repository()}: {error.strerror or error}") from None
    return tuple(jar.path for jar in jars)


def pinned(pins: Path) -> tuple[Jar, ...]:
    """The jars that a file of pins lists."""
    context = MavenContext(repo_cache=_repository(), remote_repos=_remotes(), timeout=TIMEOUT_S)
    lines = [line.split() for line in pins.read_text("ascii").splitlines() if not line.startswith("#")]
    return tuple(Jar(name, digest, context.create_dependency(name).artifact) for name, digest in lines)


def _fetch(jars: list[Jar], name: str) -> None:
    label = f"Downloading {name} (jars: {len(jars)})"
    with click.progressbar(
        jars, label=label, file=sys.stderr, hidden=not jars, item_show_func=lambda jar: jar and jar.path.name
    ) as bar:
        for jar in bar:
            _download(jar)


def _download(jar: Jar) -> None:
    jar.path.unlink(missing_ok=True)
    try:
        jar.artifact.resolve()
    except (RuntimeError, OSError) as error:
        # What requests raises is an OSError too, but without an errno; a disk's has one.
        if getattr(error, "errno", None) is not None:
            raise
        raise BrokerError(f"cannot download {jar.coordinate} ({_cause(error)}): {OFFLINE_ADVICE}") from None
    if not jar.is_intact():
        jar.path.unlink(missing_ok=True)
        raise BrokerError(f"{jar.coordinate} arrived with a wrong SHA-256: try again, or use another mirror")


def _cause(error: Exception) -> str:
    """The innermost reason, which requests and urllib3 put last, behind the names of their pools and retries."""
    return f"{type(error).__name__}: {str(error).rsplit(': ', 1)[-1]}".rstrip("'\")")


@contextmanager
def _one_download_at_a_time(repository: Path) -> Iterator[None]:
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / ".localkafka.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            click.echo("Waiting for another process that downloads Apache Kafka", err=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _settings() -> GlobalSettings:
    return GlobalSettings.load()


def _repository() -> Path:
    return Path(_settings().repo_cache)


def _remotes() -> dict[str, str]:
    return {"central": MAVEN_CENTRAL_URL, **_maven_mirror(), **_settings().repositories}


def _maven_mirror() -> dict[str, str]:
    """The mirror of Maven Central in the user's Maven settings, which jgo does not read."""
    try:
        settings = ElementTree.parse(Path.home() / ".m2" / "settings.xml")  # noqa: S314 the user's own file
    except (OSError, ElementTree.ParseError):
        return {}
    for mirror in settings.iterfind(".//{*}mirror"):
        replaced = {name.strip() for name in mirror.findtext("{*}mirrorOf", "").split(",")}
        if replaced & {"central", "*", "external:*"} and "!central" not in replaced:
            return {"central": mirror.findtext("{*}url", "").strip().rstrip("/")}
    return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def print_pins(endpoints: Sequence[str], module: str) -> None:
    """Resolve `endpoints` afresh; '!' keeps one endpoint's managed versions away from the other's dependencies."""
    artifacts = jgo.resolve("+".join(f"{endpoint}!" for endpoint in endpoints))
    click.echo(f"# group:artifact:version sha256, written by: python -m {module}")
    click.echo("\n".join(sorted(f"{a.groupId}:{a.artifactId}:{a.version} {_sha256(a.resolve())}" for a in artifacts)))


if __name__ == "__main__":
    print_pins(ENDPOINTS, "localkafka.jars")
