"""A real Kafka, classifier, viewer and Chromium for the session, and fresh topics for whoever asks."""

from collections.abc import Iterator

import pytest

from edge.images import Images
from edge.pubsub import PubSub, connect
from localkafka import LocalKafka
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire, wire_on
from tests.viewer.asking import Ask
from tests.viewer.browser import DESKTOP, Browser, axe_source, chromium
from tests.viewer.pages import Viewer


@pytest.fixture
def wire(kafka: LocalKafka) -> Wire:
    """Fresh topics on the session's broker."""
    return wire_on(kafka)


@pytest.fixture(scope="session")
def topics(kafka: LocalKafka) -> Iterator[Wire]:
    """Topics that a classifier serves."""
    wire = wire_on(kafka)
    wire.create()
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: "partitions assigned" in classifier.log, "the classifier's partition")
        yield wire


@pytest.fixture(scope="session")
def pubsub(topics: Wire) -> Iterator[PubSub]:
    with connect(topics.servers) as pubsub:
        yield pubsub


@pytest.fixture(scope="session")
def ask(topics: Wire, pubsub: PubSub, samples: Images) -> Ask:
    return Ask(pubsub, topics.requests, samples)


@pytest.fixture(scope="session")
def viewer(topics: Wire) -> Iterator[Viewer]:
    with Viewer(topics) as viewer:
        yield viewer
        assert "Traceback" not in viewer.log


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(window: Browser, viewer: Viewer) -> Iterator[Browser]:
    """The page, loaded afresh; nothing may have been refused by its policy, or have failed."""
    window.size(*DESKTOP)
    window.prefer()
    window.driver.get(f"{viewer.origin}/")
    window.wait(lambda: window.text("#state") == "connected", "the connection")
    window.rest()
    window.complaints()
    yield window
    assert window.complaints() == []
    assert window.driver.title == "onnx-kafka-edge viewer"


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    source = axe_source(tmp_path_factory.mktemp("axe"))
    if source is None:
        pytest.skip("axe-core cannot be had here: it takes npm and its registry")
    return source
