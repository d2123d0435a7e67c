"""A real Chromium, driven through chromedriver; both come from the system, and nothing is downloaded."""

import contextlib
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = None if CHROMIUM and DRIVER else "there is no Chromium here: apt-get install chromium chromium-driver"
DESKTOP, PHONE = (1440, 1000), (390, 844)
_AXE = "axe-core@4"


class Browser:
    """One window; `driver` is selenium's."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """Give the page so many CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **features: str) -> None:
        """What the system prefers, such as prefers_color_scheme="dark"."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first element, empty when there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def count(self, selector: str) -> int:
        """How many elements there are."""
        return int(self.run("return document.querySelectorAll(arguments[0]).length", selector))

    def click(self, selector: str) -> None:
        """Click on an element as a mouse does."""
        self.driver.find_element("css selector", selector).click()

    def rest(self) -> None:
        """Put the mouse where nothing stands still because of it."""
        ActionChains(self.driver).move_to_element(self.driver.find_element("css selector", "h1")).perform()

    def bring(self, selector: str) -> Any:
        """An element, in the middle of the screen: the mouse cannot go beyond its edges."""
        element = self.driver.find_element("css selector", selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        return element

    def draw(self) -> None:
        """Two strokes on the drawing area with the mouse."""
        paper = self.bring("#paper")
        for x in (-30, 20):
            chain = ActionChains(self.driver).move_to_element_with_offset(paper, x, -60)
            chain.click_and_hold().move_by_offset(5, 60).move_by_offset(5, 60).release().perform()
        self.rest()

    def wait(self, condition: Callable[[], object], what: str, deadline_s: float = 30.0) -> None:
        """Wait for a condition, or fail saying what did not come and what the browser complained of."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come within {deadline_s:.0f} s: {self.complaints()}"
            time.sleep(0.02)

    def complaints(self) -> list[str]:
        """What came in the browser's console since this was asked last: errors, and what the policy refused."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@contextlib.contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """A headless window, closed at the end.

    Raises: ClickException where there is no Chromium.
    """
    if MISSING is not None:
        raise click.ClickException(MISSING)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    # Neither the sandbox nor much of /dev/shm is to be had in a container.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        browser = Browser(driver)
        browser.size(*DESKTOP)
        yield browser
    finally:
        driver.quit()


def axe_source(folder: Path) -> str | None:
    """The text of axe.min.js, fetched with npm into a folder; None where that cannot be done."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    command = [npm, "pack", "--silent", _AXE]
    fetched = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=120)
    if fetched.returncode != 0:
        return None
    with tarfile.open(folder / fetched.stdout.split()[-1]) as archive:
        member = archive.extractfile("package/axe.min.js")
        return None if member is None else member.read().decode()
