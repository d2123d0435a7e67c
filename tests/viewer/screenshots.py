"""Pictures of the page for the docs: `python -m tests.viewer.screenshots -o docs/figures/`."""

import base64
import contextlib
import io
from pathlib import Path

import click
from PIL import Image
from selenium.webdriver import ActionChains

from edge.images import load_images
from edge.pubsub import connect
from tests.paths import IMAGES
from tests.viewer.asking import Ask
from tests.viewer.browser import PHONE, Browser, chromium
from tests.viewer.stack import camera, running

DESKTOP = (1440, 1010)
SHOTS = (("light", "light", DESKTOP), ("dark", "dark", DESKTOP), ("phone", "light", PHONE))
BROKEN = (b"not an image", bytes(3 * 784), b'[[0, 1], "x"]')
# A pair of trousers on 28 by 28 pixels: from where to where the pen goes.
TROUSERS = (((10, 4), (18, 4)), ((10, 5), (10, 24)), ((18, 5), (18, 24)), ((12, 5), (11, 24)), ((16, 5), (17, 24)))


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder.")
def main(output: Path) -> None:
    """Run the page on a real Kafka and classifier, draw something on it, and write viewer-*.png."""
    output.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        browser = stack.enter_context(chromium())
        wire, viewer = stack.enter_context(running())
        stack.enter_context(camera(wire, "camera-1", 0.1))
        stack.enter_context(camera(wire, "camera-2", 0.25, "--shuffle"))
        ask = Ask(stack.enter_context(connect(wire.servers)), wire.requests, load_images(IMAGES))
        for name, scheme, size in SHOTS:
            browser.prefer(prefers_color_scheme=scheme)
            browser.size(*size)
            browser.driver.get(f"{viewer.origin}/")
            browser.wait(lambda: browser.count("#unsure .tile") >= 6, "predictions to be unsure of", 120)
            for value in BROKEN:
                ask(value=value, key="camera-3")
            trousers(browser)
            browser.click("#send")
            browser.rest()
            browser.wait(lambda: browser.count("#mine .is-answered") == 1, "the answer")
            browser.wait(lambda: browser.count("#live .is-mine") == 1, "its tile")
            browser.run("scrollTo(0, 0)")
            shoot(browser, size, output / f"viewer-{name}.png")


def trousers(browser: Browser) -> None:
    """Draw them with the mouse."""
    paper = browser.bring("#paper")
    scale = browser.run("return document.getElementById('paper').clientWidth") / 28
    for (from_x, from_y), (to_x, to_y) in TROUSERS:
        chain = ActionChains(browser.driver, duration=50)
        chain.move_to_element_with_offset(paper, round((from_x - 14) * scale), round((from_y - 14) * scale))
        chain.click_and_hold().move_by_offset(round((to_x - from_x) * scale), round((to_y - from_y) * scale))
        chain.release().perform()


def shoot(browser: Browser, size: tuple[int, int], path: Path) -> None:
    """What is on the screen, at one and a half times its pixels."""
    browser.size(*size, scale=1.5)
    shot = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": False})
    image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    click.echo(str(path))


if __name__ == "__main__":
    main()
