"""Pictures that are drawn or uploaded in a real Chromium, and their answers."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver import Keys

from edge.contract import Contract
from edge.pubsub import connect
from localkafka import LocalKafka
from tests.system.processes import wait_until
from tests.system.wire import Wire, wire_on
from tests.viewer.browser import MISSING, Browser
from tests.viewer.pages import Viewer

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

UNKNOWN = "\N{EN DASH}"


def test_a_drawing_is_classified_and_marked_as_ones_own(page: Browser) -> None:
    page.click("#send")
    page.wait(lambda: "Draw something first" in page.text("#announce"), "advice")
    page.draw()
    page.click("#send")
    page.wait(lambda: page.count("#mine .is-answered") == 1, "the answer")
    assert page.text("#mine .confidence").endswith(" %")
    assert "ms from click to answer" in page.text("#mine .meta")
    assert UNKNOWN not in page.text("#mine .stage-list")
    assert page.count("#mine .stage-list dd") == 6
    page.wait(lambda: "yours" in page.text("#live .is-mine .verdict"), "its tile")
    assert page.text("#announce").startswith("Your picture is ")
    pixels = "return [...document.querySelector('{}').getContext('2d').getImageData(0, 0, 28, 28).data]"
    assert page.run(pixels.format("#mine canvas")) == page.run(pixels.format("#live .is-mine canvas"))


def test_a_drawing_can_be_made_with_the_keyboard_alone(page: Browser) -> None:
    page.driver.find_element("css selector", "#paper").send_keys(
        Keys.SPACE,
        *[Keys.ARROW_DOWN, Keys.SPACE] * 6,
        Keys.SHIFT + Keys.ARROW_RIGHT + Keys.NULL,
        Keys.SPACE,
        Keys.ENTER,
    )
    page.wait(lambda: page.count("#mine .is-answered") == 1, "the answer")


def test_a_picture_file_is_resized_to_the_models_input(page: Browser, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(280, 140, lambda x, y: 200 if x < 140 else 40))
    page.driver.find_element("css selector", "#upload").send_keys(str(path))
    page.wait(lambda: "photo.png is in the drawing area" in page.text("#announce"), "the picture")
    row = page.run("return [...document.getElementById('paper').getContext('2d').getImageData(0, 14, 28, 1).data]")[::4]
    assert all(abs(shade - 200) <= 2 for shade in row[:11])
    assert all(abs(shade - 40) <= 2 for shade in row[-11:])
    page.click("#send")
    page.wait(lambda: page.count("#mine .is-answered") == 1, "the answer")
    path.write_bytes(b"no picture")
    page.driver.find_element("css selector", "#upload").send_keys(str(path))
    page.wait(lambda: "is no PNG or JPEG" in page.text("#announce"), "the complaint")


def png(width: int, height: int, shade: Callable[[int, int], int]) -> bytes:
    """A grey PNG."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes(shade(x, y) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_images_in_colour_are_shown_and_drawn(kafka: LocalKafka, window: Browser, tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text(Contract("colours", "in", "uint8", (3, 8, 8), "CHW", "out", ("red", "green")).to_json())
    wire = wire_on(kafka)
    wire.create()
    with Viewer(wire, "--contract", str(contract)) as viewer, connect(wire.servers) as pubsub:
        window.driver.get(f"{viewer.origin}/")
        window.wait(
            lambda: window.text("#draw-size") == "3 \N{MULTIPLICATION SIGN} 8 \N{MULTIPLICATION SIGN} 8 uint8",
            "the contract",
        )
        window.run("document.getElementById('colour').value = '#ff8000'; document.getElementById('width').value = 9")
        window.draw()
        window.click("#send")
        wait_until(lambda: len(read_requests(wire)) == 1, "the request")
        ((name, value),) = read_requests(wire)
        assert set(value[:64]) >= {0, 255}
        assert max(value[64:128]) == 128
        assert set(value[128:]) == {0}
        answer = f'{{"id": "{name}", "class": 0, "label": "red", "confidence": 0.9, "model": "colours", "sha256": "0",'
        pubsub.write(wire.predictions, (answer + ' "queue_ms": 1, "infer_ms": 1, "batch": 1}').encode())
        window.wait(lambda: window.count("#live .is-mine") == 1, "the tile")
        data = window.run(
            "return [...document.querySelector('#live canvas').getContext('2d').getImageData(0, 0, 8, 8).data]"
        )
        assert bytes(data[0::4]) == value[:64]
        assert bytes(data[1::4]) == value[64:128]


def read_requests(wire: Wire) -> list[tuple[str, bytes]]:
    """Ids and values of what was asked."""
    with connect(wire.servers) as pubsub:
        return [
            ((dict(record.headers)["request-id"] or b"").decode(), record.value or b"")
            for record in pubsub.client.scan(wire.requests)
        ]
