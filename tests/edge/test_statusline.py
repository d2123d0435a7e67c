"""A line that is drawn below what else is written on a terminal, and the progress bar that stands in it."""

import logging
import os
import pty
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import click
import pytest

from edge import statusline
from edge.images import Images
from edge.memory_client import MemoryClient
from edge.outbox import Bounds, Direct
from edge.progressbar import Counted, bar, progress
from edge.pubsub import PubSub
from edge.sensed import Sensed, Shown
from edge.sensing import sense
from edge.spooled import Spooled
from edge.statusline import ERASE, StatusLine
from tests.system.processes import wait_until


class Screen:
    """What was written on a terminal of 40 columns; `system` stands for the module `sys`."""

    def __init__(self, master: int, system: SimpleNamespace) -> None:
        self.system = system
        self._master = master
        self._written = ""

    @property
    def text(self) -> str:
        """All of it."""
        with suppress(BlockingIOError):
            self._written += os.read(self._master, 65536).decode()
        return self._written


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 40))
    os.set_blocking(master, False)
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        # Not sys.stderr itself, which pytest replaces between a fixture and its test.
        monkeypatch.setattr(statusline, "sys", system := SimpleNamespace(stderr=stream))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(statusline, "DRAW_S", 0.02)
        monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(stream)])
        yield Screen(master, system)
    os.close(master)


def drawn(screen: Screen, text: str) -> Callable[[], bool]:
    return lambda: ERASE + text in screen.text


def test_the_line_is_drawn_again_below_what_is_written_above_it(screen: Screen) -> None:
    with StatusLine(lambda: "first") as line:
        wait_until(drawn(screen, "first"), "the line")
        with line.above():
            screen.system.stderr.write("a result\n")
            screen.system.stderr.flush()
        wait_until(drawn(screen, f"a result\r\n{ERASE}first"), "the line below the result")
        logging.getLogger("edge").warning("a warning")
        wait_until(drawn(screen, f"a warning\r\n{ERASE}first"), "the line below the warning")
        click.echo("an error", file=screen.system.stderr)
        wait_until(drawn(screen, f"an error\r\n{ERASE}first"), "the line below the error")
    wait_until(lambda: screen.text.endswith(f"first{ERASE}"), "the end of the line")
    logging.getLogger("edge").warning("later")
    wait_until(lambda: screen.text.endswith(f"{ERASE}later\r\n"), "what is written later")


def test_the_line_neither_wraps_nor_steers(screen: Screen) -> None:
    with StatusLine(lambda: "\x1b[2J\r\n" + 100 * "x"):
        wait_until(drawn(screen, "\ufffd[2J\ufffd\ufffd" + 33 * "x"), "the line")
    assert 34 * "x" not in screen.text
    assert screen.text.replace(ERASE, "").isprintable()


def test_what_fails_below_it_leaves_no_line(screen: Screen) -> None:
    def fail() -> None:
        with StatusLine(lambda: "a line"):
            wait_until(drawn(screen, "a line"), "the line")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert screen.text.endswith(f"a line{ERASE}")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_plain_lines_when_they_change(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(statusline, "PLAIN_S", 0.01)
    texts = ["one", "one", "two", "two", "three"]
    with StatusLine(lambda: texts.pop(0) if len(texts) > 1 else texts[0]) as line:
        wait_until(lambda: texts == ["three"], "the last line")
        line._thread.join(0.1)
    assert capsys.readouterr().err == "one\ntwo\nthree\n"
    assert screen.text == ""


def test_a_bar_tells_how_many_are_done_and_how_many_are_on_their_way(screen: Screen, samples: Images) -> None:
    assert bar(1, 3, 2) == "[##########--------------------] 1 of 3 images, 2 not with Kafka yet"
    assert bar(3, 3, 0) == f"[{30 * '#'}] 3 of 3 images, 0 not with Kafka yet"
    outbox = Direct(PubSub(MemoryClient()), "requests")
    with progress(outbox, False, 3) as counted:
        sense(Shown(samples, None, None), counted, 0.1, 3, False, threading.Event())
        wait_until(drawn(screen, f"[{30 * '#'}] 3 of 3"), "the full bar")
    assert "[##########--------------------] 1 of 3" in screen.text
    assert screen.text.endswith(ERASE)


def test_of_a_spool_the_bar_tells_what_it_holds(screen: Screen, samples: Images, tmp_path: Path) -> None:
    held = threading.Event()

    def connect(_: threading.Event) -> MemoryClient:
        assert held.wait(60)
        return MemoryClient()

    with Spooled(tmp_path, Bounds(), connect, "requests", 60.0, threading.Event(), Sensed.encoded) as outbox:
        with progress(outbox, False, 3) as counted:
            shown = Shown(samples, None, None)
            stored = threading.Thread(target=sense, args=(shown, counted, 0.0, 3, False, threading.Event()))
            stored.start()
            wait_until(drawn(screen, f"[{30 * '#'}] 3 of"), "the full bar")
            assert outbox.left == 3
            held.set()
            stored.join()
        assert outbox.left == 0


@pytest.mark.parametrize(("is_lasting", "expected"), [(False, 3), (True, 1)])
def test_an_image_that_is_not_taken_counts_unless_it_comes_again(
    samples: Images, is_lasting: bool, expected: int
) -> None:
    class Full(Direct):
        def offer(self, image: Sensed) -> bool:
            return self.left == 0 and super().offer(image)

    class Held(PubSub):
        def write(self, *_: object, **__: object) -> None:
            """Acknowledge nothing."""

    counted = Counted(Full(Held(MemoryClient()), "requests"), is_lasting)
    assert [counted.offer(Shown(samples, None, None).next()) for _ in range(3)] == [True, False, False]
    assert (counted.done, counted.left) == (expected, 1)


def test_there_is_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    outbox = Direct(PubSub(MemoryClient()), "requests")
    with progress(outbox, False, 3) as same:
        assert same is outbox
    assert capsys.readouterr().err == ""


def test_stderr_is_given_back_to_all_who_write_there(screen: Screen) -> None:
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    before: TextIO = handler.stream
    with StatusLine(lambda: "x"):
        assert handler.stream is screen.system.stderr is not before
    assert handler.stream is screen.system.stderr is before
