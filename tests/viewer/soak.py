"""Whether page and server stay small and awake: `python -m tests.viewer.soak --minutes 10 --rate 1000`.

Exits with 1 when the server's memory or the page's heap has grown, or the page has frozen.
"""

import re
import sys
import threading
import time
from dataclasses import dataclass
from statistics import median

import click
from confluent_kafka import Producer

from edge.images import load_images
from tests.paths import IMAGES
from tests.system.fuzz import rss_bytes
from tests.system.wire import Wire
from tests.viewer.browser import Browser, chromium
from tests.viewer.pages import Viewer
from tests.viewer.stack import running

WARM_UP_S, LOOK_S = 30.0, 5.0
MAX_RSS_GROWTH, MAX_HEAP_GROWTH, MAX_NODES_GROWTH = 8.0, 2.0, 200.0
"""Megabytes, megabytes and elements, from the first third of what was seen to the last."""
MAX_FRAME_S = 2.0
MB = 1024 * 1024


@dataclass(frozen=True)
class Look:
    """Memory at one moment: the server's, the page's after its garbage was collected, and its elements."""

    rss_mb: float
    heap_mb: float
    nodes: float


class Asking(threading.Thread):
    """Writes `rate` requests a second until `stop`; of each hundred one is answered by a dead letter."""

    def __init__(self, wire: Wire, rate: float) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.stop = threading.Event()
        self._topic = wire.requests
        self._rate = rate
        self._producer = Producer({"bootstrap.servers": wire.servers, "linger.ms": 2})

    def run(self) -> None:
        """Send what is due, a hundredth of a second at a time."""
        samples = load_images(IMAGES)
        images = [image.tobytes() for image in samples.image]
        began = time.monotonic()
        while not self.stop.wait(0.01):
            due = int((time.monotonic() - began) * self._rate)
            for n in range(self.sent, due):
                value = b"broken" if n % 100 == 0 else images[n % len(images)]
                headers: dict[str, str | bytes | None] = {
                    "created-ns": str(time.time_ns()),
                    "true-label": samples.true_label(n % len(images)) or "",
                }
                self._producer.produce(self._topic, value, f"camera-{n % 7}", headers=headers)
            self.sent = max(self.sent, due)
            self._producer.poll(0)
        self._producer.flush(10)


def look(browser: Browser, viewer: Viewer) -> Look:
    """Memory as it is now."""
    browser.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    heap = browser.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]
    nodes = float(browser.run("return document.getElementsByTagName('*').length"))
    return Look(rss_bytes(viewer.process.pid) / MB, heap / MB, nodes)


def faults(looks: list[Look], longest_frame_s: float, sampling: str, rate: float) -> list[str]:
    """All that went wrong."""
    third = len(looks) // 3
    found = []
    for name, limit in (("rss_mb", MAX_RSS_GROWTH), ("heap_mb", MAX_HEAP_GROWTH), ("nodes", MAX_NODES_GROWTH)):
        early, late = (median(getattr(each, name) for each in part) for part in (looks[:third], looks[-third:]))
        if late - early > limit:
            found.append(f"{name} has grown from {early:.1f} to {late:.1f}")
    if longest_frame_s > MAX_FRAME_S:
        found.append(f"the page has stood still for {longest_frame_s:.1f} s")
    shown = re.fullmatch(r"showing ([\d,]+) of ([\d,]+) a second", sampling)
    if shown is None or not 0.5 * rate <= int(shown[2].replace(",", "")) <= 1.5 * rate:
        found.append(f"the page says {sampling!r}")
    return found


@click.command()
@click.option("--minutes", type=click.FloatRange(min=1), default=10.0, show_default=True, help="How long.")
@click.option("--rate", type=click.FloatRange(min=50), default=1000.0, show_default=True, help="Requests a second.")
def main(minutes: float, rate: float) -> None:
    """Let a page look at so many predictions a second, and judge the memory of both sides."""
    looks: list[Look] = []
    with chromium() as browser, running() as (wire, viewer):
        asking = Asking(wire, rate)
        asking.start()
        browser.driver.get(f"{viewer.origin}/")
        browser.wait(lambda: browser.count("#live .tile") >= 10, "the first tiles", 60)
        time.sleep(WARM_UP_S)
        browser.run(
            "window.longest = 0; let last = performance.now();"
            "const frame = (now) => { window.longest = Math.max(window.longest, now - last); last = now;"
            " requestAnimationFrame(frame); }; requestAnimationFrame(frame)"
        )
        end = time.monotonic() + 60 * minutes - WARM_UP_S
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            looks.append(look(browser, viewer))
        longest_s, sampling = browser.run("return window.longest") / 1000, browser.text("#sampling")
        counts = {name: browser.text(f"#{name}") for name in ("rate", "p99", "dead-count", "forgotten")}
        asking.stop.set()
        asking.join()
    first, last = looks[0], looks[-1]
    click.echo(f"{asking.sent} requests in {minutes:g} min; {sampling}; {counts}")
    click.echo(f"server: RSS {first.rss_mb:.1f} MB, at the end {last.rss_mb:.1f} MB")
    click.echo(f"page: heap {first.heap_mb:.1f} MB, at the end {last.heap_mb:.1f} MB; {last.nodes:.0f} elements")
    click.echo(f"page: longest time without a frame {longest_s * 1000:.0f} ms")
    found = faults(looks, longest_s, sampling, rate)
    for fault in found:
        click.echo(f"FAULT: {fault}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
