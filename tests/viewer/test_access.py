"""Everybody can use the page: by keyboard, with a screen reader, on a phone."""

import pytest
from selenium.webdriver import ActionChains, Keys

from tests.viewer.asking import Ask
from tests.viewer.browser import DESKTOP, MISSING, PHONE, Browser

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


def test_tiles_are_reached_and_opened_by_keyboard(page: Browser, ask: Ask) -> None:
    for n in range(8):
        ask(n)
    page.wait(lambda: page.count("#live .tile") >= 4, "some tiles")
    assert page.count("#live .tile[tabindex='0']") == 1
    page.run("document.querySelector(\"#live .tile[tabindex='0']\").focus()")
    ActionChains(page.driver).send_keys(Keys.ARROW_RIGHT).perform()
    assert page.run("return [...document.querySelectorAll('#live .tile')].indexOf(document.activeElement)") == 1
    ActionChains(page.driver).send_keys(Keys.ENTER).perform()
    assert page.run("return document.getElementById('detail').open")
    ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
    assert page.run("return [...document.querySelectorAll('#live .tile')].indexOf(document.activeElement)") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_axe_finds_nothing_serious(page: Browser, ask: Ask, axe: str, scheme: str, size: tuple[int, int]) -> None:
    page.prefer(prefers_color_scheme=scheme)
    page.size(*size)
    ask(0)
    ask(0, truth="no such class")
    ask(value=b"x")
    page.draw()
    page.click("#send")
    page.wait(lambda: page.count("#mine .is-answered") == 1 and page.count("#dead tr") > 0, "something of everything")
    page.wait(lambda: page.count("#wrong .tile") > 0, "a wrong one")
    page.run(axe)
    found = page.driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    serious = [
        (fault["id"], fault["impact"], [node["html"][:200] for node in fault["nodes"]])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert len(found["passes"]) > 10


def test_a_phone_scrolls_in_one_direction_only(page: Browser, ask: Ask) -> None:
    for width in (320, 390):
        page.size(width, 800)
        ask(0, truth="a class whose name is very long indeed" * 3, key="a-device-whose-name-is-very-long" * 3)
        ask(value=b"x", key="a-device-whose-name-is-very-long" * 3)
        page.wait(lambda: "a-device" in page.text("#dead") and page.count("#live .tile") > 0, "something long")
        assert page.run("return document.documentElement.scrollWidth") <= width


def test_who_prefers_less_motion_gets_it(page: Browser) -> None:
    page.prefer(prefers_reduced_motion="reduce")
    page.driver.refresh()
    page.wait(lambda: page.text("#state") == "connected", "the connection")
    assert page.run("return document.getAnimations().length") == 0


def test_the_theme_is_the_systems_until_one_is_chosen_which_stays(page: Browser) -> None:
    def look() -> tuple[str, bool]:
        """What the button says, and whether the page is dark."""
        ground = page.run("return getComputedStyle(document.body).backgroundColor")
        return page.text("#theme"), ground == "rgb(13, 17, 23)"

    page.prefer(prefers_color_scheme="dark")
    assert look() == ("Theme: system", True)
    page.prefer(prefers_color_scheme="light")
    assert look() == ("Theme: system", False)
    page.click("#theme")
    page.prefer(prefers_color_scheme="dark")
    assert look() == ("Theme: light", False)
    page.click("#theme")
    page.prefer(prefers_color_scheme="light")
    page.driver.refresh()
    assert look() == ("Theme: dark", True)
    page.click("#theme")
    assert look() == ("Theme: system", False)
