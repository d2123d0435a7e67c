"""What all tests share: the samples, a real Apache Kafka for the session, and the proof that it was used."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from edge.contract import Contract
from edge.images import Images, load_images
from localkafka import LocalKafka
from tests.paths import IMAGES

# An example may take longer where other programs want the processor, too.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

_kafka_passed: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-kafka", type=int, default=0, help="fail unless so many tests over a real Kafka have passed"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed and "kafka" in report.keywords:
        _kafka_passed.add(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"{len(_kafka_passed)} tests over a real Apache Kafka passed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        # One of several processes: the first one hears of all tests, and judges.
        return
    if len(_kafka_passed) < session.config.getoption("--require-kafka") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """A real broker for the whole session; each test takes topics and groups of its own."""
    with LocalKafka(properties={"message.max.bytes": "16000000", "replica.fetch.max.bytes": "16000000"}) as broker:
        yield broker


@pytest.fixture(scope="session")
def samples() -> Images:
    """The 200 real test images that the repository ships."""
    return load_images(IMAGES)


@pytest.fixture
def contract() -> Contract:
    """A contract of Fashion-MNIST's shape."""
    return Contract("lenet", "image", "uint8", (28, 28, 1), "HWC", "probabilities", tuple("abcdefghij"))
