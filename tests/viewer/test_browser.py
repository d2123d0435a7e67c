"""The page in a real Chromium, over a real Kafka and the real classifier: what it shows."""

import time

import pytest

from edge.images import Images
from edge.pubsub import PubSub
from tests.system.wire import Wire
from tests.viewer.asking import Ask
from tests.viewer.browser import MISSING, Browser
from tests.viewer.pages import Viewer

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"
PROMPT_S = 1.0
UNKNOWN = "\N{EN DASH}"


def test_a_prediction_is_on_the_page_within_a_second(page: Browser, ask: Ask, samples: Images) -> None:
    ask(0)
    page.wait(lambda: page.count("#live .tile") > 0, "the first tile")
    before = page.run("return document.querySelector('#live .tile .meta').textContent")
    page.run(
        "window.put = new Promise((found) => new MutationObserver(() => found(performance.timeOrigin +"
        " performance.now())).observe(document.getElementById('live'), {childList: true}))"
    )
    began = time.time()
    ask(1, key="prompt")
    shown = page.driver.execute_async_script("window.put.then(arguments[arguments.length - 1])") / 1000
    assert before
    assert page.text("#live .tile .label")
    assert "✓ right" in page.text("#live .tile .verdict") or "✗ it is" in page.text("#live .tile .verdict")
    assert 0 < shown - began < PROMPT_S


def test_its_pixels_are_those_that_were_sent(page: Browser, ask: Ask) -> None:
    ask(value=bytes(range(196)) * 4, key="gradient")
    page.wait(lambda: "gradient" in page.text("#live li:first-child .meta"), "the tile")
    found = page.run(
        "const c = document.querySelector('#live li:first-child canvas');"
        "return [c.width, c.height, getComputedStyle(c).imageRendering,"
        " [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)]"
    )
    assert found == [28, 28, "pixelated", list(range(196)) * 4]


def test_figures_appear(page: Browser, ask: Ask) -> None:
    for n in range(20):
        ask(n)
    page.wait(lambda: page.text("#p50") != UNKNOWN, "the latency")
    page.wait(lambda: page.text("#right") != UNKNOWN, "the share of right ones")
    assert page.text("#models").startswith("lenet ")
    page.wait(lambda: page.count("#classes li") > 1, "several classes")
    assert "camera" in page.text("#devices")
    assert page.text("#stages dd") != UNKNOWN
    page.wait(lambda: page.text("#waiting") == "0", "all answers")


def test_wrong_and_unsure_ones_are_pinned(page: Browser, ask: Ask) -> None:
    ask(0, truth="no such class", key="pinned")
    page.wait(lambda: "pinned" in page.text("#wrong .meta"), "the wrong one")
    assert "✗ it is no such class" in page.text("#wrong .verdict")
    ask(value=bytes([0, 255]) * 392, truth="noise", key="noise")
    page.wait(lambda: "noise" in page.text("#wrong .meta"), "the noise")


def test_a_dead_letter_is_listed_with_its_reason(page: Browser, ask: Ask) -> None:
    ask(value=b"too short", key="broken")
    page.wait(lambda: "broken" in page.text("#dead tr:first-child"), "the dead letter")
    assert "the value has 9 bytes" in page.text("#dead tr:first-child")
    page.wait(lambda: page.text("#dead-count") != "0", "its count")


def test_hostile_names_are_text(page: Browser, ask: Ask) -> None:
    ask(0, truth=HOSTILE, key=HOSTILE)
    ask(value=b"x", key=HOSTILE)
    page.wait(lambda: HOSTILE in page.text("#live .meta"), "the tile")
    page.wait(lambda: HOSTILE in page.text("#dead"), "the dead letter")
    page.wait(lambda: HOSTILE in page.text("#filter-device"), "the choice")
    page.wait(lambda: HOSTILE in page.text("#devices"), "the device")
    page.click("#live li:first-child button")
    assert HOSTILE in page.text("#detail-list")
    page.click("#detail-close")
    assert page.count("img") == 0


def test_hostile_predictions_are_text(page: Browser, topics: Wire, pubsub: PubSub) -> None:
    text = HOSTILE.replace('"', '\\"')
    value = (
        f'{{"id": "{text}", "class": 0, "label": "{text}", "confidence": 0.1, "model": "{text}", "sha256": "{text}",'
    )
    pubsub.write(topics.predictions, (value + ' "queue_ms": 1, "infer_ms": 1, "batch": 1}').encode())
    page.wait(lambda: HOSTILE in page.text("#live .label"), "the label")
    page.wait(lambda: HOSTILE in page.text("#models"), "the model")
    page.wait(lambda: HOSTILE in page.text("#classes"), "the class")
    assert page.count("img") == 0


def test_the_filter_keeps_what_matches(page: Browser, ask: Ask, samples: Images) -> None:
    for n in range(20):
        ask(n, key=f"camera-{n % 2}")
    page.wait(lambda: page.count("#filter-device option[value='=camera-1']") == 1, "the choice of devices")
    page.run(
        "const select = document.getElementById('filter-device'); select.value = '=camera-1';"
        "select.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    metas = "return [...document.querySelectorAll('#live .meta')].map((each) => each.textContent)"
    found = page.run(metas)
    assert found
    assert all("camera-1" in meta for meta in found)
    assert "match" in page.text("#matching")
    ask(0, key="camera-0")
    ask(0, key="camera-1")
    page.wait(lambda: len(page.run(metas)) > len(found) or page.count("#live .tile") >= 25, "one more")
    assert all("camera-1" in meta for meta in page.run(metas))
    field = page.driver.find_element("css selector", "#filter-from")
    field.clear()
    field.send_keys("101")
    assert page.count("#live .tile") == 0
    page.click("#filter button[type=reset]")
    page.wait(lambda: page.count("#live .tile") > len(found) // 2, "all of them")


def test_while_it_is_paused_nothing_moves(page: Browser, ask: Ask) -> None:
    ask(0, key="before")
    page.wait(lambda: "before" in page.text("#live .meta"), "a tile")
    page.click("#pause")
    before = page.text("#live")
    ask(1, key="meanwhile")
    page.wait(lambda: "1 not shown" in page.text("#held"), "the count of what is missed")
    assert page.text("#live") == before
    assert page.text("#pause") == "Go on"
    page.click("#pause")
    ask(2, key="afterwards")
    page.wait(lambda: "afterwards" in page.text("#live"), "the next tile")


def test_what_was_on_the_page_before_it_was_opened_is_a_start(page: Browser, ask: Ask, viewer: Viewer) -> None:
    ask(0, key="before")
    page.wait(lambda: "before" in page.text("#live"), "a tile")
    page.driver.get(f"{viewer.origin}/")
    page.wait(lambda: "before" in page.text("#live"), "the same tile")
