"""The page while its server or Kafka is away."""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract import Contract
from localkafka import LocalKafka
from tests.system.wire import Wire, wire_on
from tests.viewer.asking import Ask
from tests.viewer.browser import MISSING, Browser
from tests.viewer.pages import Viewer

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


def test_a_page_left_open_comes_back_with_its_server(topics: Wire, window: Browser, ask: Ask) -> None:
    with Viewer(topics) as first:
        window.driver.get(f"{first.origin}/")
        window.wait(lambda: window.text("#state") == "connected", "the connection")
        window.run("window.isTheSamePage = true")
        assert first.terminate() == 0
        window.wait(lambda: "server is away" in window.text("#notice"), "a line that says so")
        assert window.text("#state") == "server away"
    with Viewer(topics, port=first.port):
        window.wait(lambda: window.text("#state") == "connected", "the connection")
        assert window.run("return document.getElementById('notice').hidden")
        ask(0, key="after-the-restart")
        window.wait(lambda: "after-the-restart" in window.text("#live"), "a tile")
        assert window.run("return window.isTheSamePage")
    window.complaints()


def test_a_page_is_made_anew_when_its_server_comes_back_with_a_model_of_other_images(
    topics: Wire, window: Browser, contract: Contract, tmp_path: Path
) -> None:
    other = tmp_path / "contract.json"
    other.write_text(replace(contract, shape=(14, 14, 1), golden=()).to_json())
    with Viewer(topics) as first:
        window.driver.get(f"{first.origin}/")
        window.wait(lambda: window.text("#state") == "connected", "the connection")
        window.run("window.isTheSamePage = true")
        assert first.terminate() == 0
    with Viewer(topics, "--model", str(other), port=first.port):
        window.wait(lambda: window.run("return !window.isTheSamePage"), "another page")
        window.wait(lambda: window.text("#draw-size").startswith("14 "), "what it takes")
        assert window.run("return document.querySelector('#draw canvas').width") == 14
    window.complaints()


def test_a_token_in_the_url_opens_the_page_and_leaves_the_url(topics: Wire, window: Browser) -> None:
    with Viewer(topics, "--token", "a-token-of-some-length") as guarded:
        window.driver.get(f"{guarded.origin}/?token=a-token-of-some-length")
        window.wait(lambda: window.text("#state") == "connected", "the connection")
        assert window.driver.current_url == f"{guarded.origin}/"
        window.draw()
        window.click("#send")
        window.wait(lambda: window.count("#mine .is-answered") == 1, "the answer")


def test_a_broker_that_is_away_is_said_on_the_page(window: Browser) -> None:
    with LocalKafka() as broker:
        wire = wire_on(broker)
        with Viewer(wire) as viewer:
            window.driver.get(f"{viewer.origin}/")
            window.wait(lambda: window.text("#state") == "connected", "the connection")
            broker.stop()
            window.wait(lambda: "Kafka is away: no Kafka broker at" in window.text("#notice"), "a line that says so")
            status, text = viewer.send(uuid.uuid4().hex)
            assert (status, "Kafka" in text) == (503, True)
            assert viewer.terminate() == 0
    window.complaints()
