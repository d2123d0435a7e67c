"""Consumer and query app on a terminal, over a real Kafka: what is drawn, and what Ctrl-C leaves behind."""

import json
import re
import signal
from pathlib import Path

import pytest

from edge.images import Images
from edge.pubsub import connect
from tests.paths import LENET
from tests.system.processes import Process, run, wait_until
from tests.system.terminals import OnTerminal
from tests.system.wire import Wire, requests

pytestmark = pytest.mark.kafka

COLOUR = re.compile(r"\x1b\[[\d;]*m")
ERASE = "\r\x1b[K"


def consumer(wire: Wire, *options: str) -> tuple[str, ...]:
    to = ["--bootstrap-servers", wire.servers, "--group", f"{wire.group}.consumer"]
    topics = ["--prediction-topic", wire.predictions, "--request-topic", wire.requests]
    return ("edge.consumer", *to, *(topics if "--images" in options else topics[:2]), *options)


def query(wire: Wire, *options: str) -> tuple[str, ...]:
    return ("edge.query", "--bootstrap-servers", wire.servers, "--request-topic", wire.requests, *options)


def is_plain(screen: str) -> bool:
    """Whether a terminal that has read this has its own colours again, a cursor, and an empty line below."""
    colours = COLOUR.findall(screen)
    return screen.endswith("\n") and "\x1b[?" not in screen and (not colours or colours[-1] == "\x1b[0m")


@pytest.mark.parametrize(("colorterm", "start"), [("truecolor", "\x1b[38;2;"), ("", "\x1b[38;5;")])
def test_images_are_drawn_in_the_terminals_colours_and_ctrl_c_leaves_it_as_it_was(
    wire: Wire, samples: Images, colorterm: str, start: str
) -> None:
    wire.create(partitions=3)
    with (
        Process("edge.classifier", *wire.classifier) as classifier,
        OnTerminal(*consumer(wire, "--images", "--stats"), COLORTERM=colorterm) as app,
    ):
        wire.send(requests(samples, 20), key=lambda n: str(n).encode())
        wait_until(lambda: app.screen.count("▀") == 20 * 14 * 28 and "/s, late 0" in app.screen, "all images")
        app.press_ctrl_c()
        assert app.end() == 0
        assert app.is_as_it_was()
        assert classifier.terminate() == 0
    assert is_plain(app.screen)
    assert app.screen.count("\x1b[0m") == 20 * 14
    assert app.screen.count(start) > 20
    assert app.screen.endswith("20 predictions read, 0 without image\r\n")
    # Nothing of the line is left among the results.
    results = [part for part in app.screen.split("\r\n") if "▀" in part]
    assert len(results) == 20 * 14
    assert all("/s" not in part.rpartition(ERASE)[2] for part in results)


def test_a_second_ctrl_c_leaves_the_terminal_as_it_was_too(wire: Wire, samples: Images) -> None:
    wire.create()
    with (
        Process("edge.classifier", *wire.classifier),
        OnTerminal(*consumer(wire, "--images", "--stats"), COLORTERM="truecolor") as app,
    ):
        wire.send(requests(samples, 200))
        wait_until(lambda: app.screen.count("▀") > 5 * 14 * 28, "some images")
        app.press_ctrl_c()
        app.press_ctrl_c()
        assert app.end() in (0, 128 + signal.SIGINT)
        assert app.is_as_it_was()
    assert COLOUR.findall(app.screen)[-1] == "\x1b[0m"
    assert "\x1b[?" not in app.screen


def test_a_request_that_is_gone_costs_its_prediction_the_image_only(wire: Wire, samples: Images) -> None:
    wire.create()
    with Process("edge.classifier", *wire.classifier) as classifier:
        wire.send(requests(samples, 5))
        wait_until(lambda: len(wire.predicted()) == 5, "the predictions")
        assert classifier.terminate() == 0
    with connect(wire.servers) as pubsub:
        for record in (wire.predicted()[0], *wire.predicted()[3:]):
            value = json.loads(record.value or b"")
            pubsub.write(wire.predictions, json.dumps({**value, "id": f"not-{value['id']}\x1b[2J\x9b"}).encode())
    read = run(*consumer(wire, "--images", "--stats", "--contract", str(LENET), "--limit", "8"))
    assert read.process.returncode == 0
    assert read.lines[-1] == "8 predictions read, 3 without image"
    assert sum(len(line) > 0 for line in read.lines) > 5 * 10
    assert sum(line.startswith("not-") for line in read.lines) == 3
    assert "\x1b" not in read.log + "\n".join(read.lines)
    assert ", without image 3, " in read.errors[-1]


def test_a_consumer_that_comes_back_draws_on_where_it_was(wire: Wire, samples: Images) -> None:
    wire.create()
    with Process("edge.classifier", *wire.classifier) as classifier:
        for count in (10, 20):
            wire.send(requests(samples, count)[count - 10 :])
            read = run(*consumer(wire, "--images", "--limit", "10"))
            assert read.lines[-1] == "10 predictions read, 0 without image"
        assert classifier.terminate() == 0


def test_stats_are_plain_lines_where_no_terminal_is(wire: Wire, samples: Images) -> None:
    wire.create()
    with Process("edge.classifier", *wire.classifier), Process(*consumer(wire, "--stats", "--json")) as app:
        wire.send(requests(samples, 10))
        wait_until(lambda: any("/s, late 0" in line for line in app.errors), "a line")
        wait_until(lambda: len(app.lines) == 10, "all predictions")
        assert app.end(signal.SIGINT) == 0
    assert "\x1b" not in app.log
    assert [json.loads(line)["batch"] > 0 for line in app.lines] == [True] * 10


@pytest.mark.parametrize("with_spool", [False, True])
def test_a_limit_is_a_bar_on_the_terminal_and_goes_with_its_end(wire: Wire, tmp_path: Path, with_spool: bool) -> None:
    spool = ["--spool", str(tmp_path / "spool")] if with_spool else []
    with OnTerminal(*query(wire, "--limit", "20", "--interval", "0.1", *spool)) as app:
        assert app.end() == 0
        assert app.is_as_it_was()
    bars = [int(done) for done in re.findall(r"\] (\d+) of 20 images", app.screen)]
    assert bars == sorted(bars)
    assert len(set(bars)) > 3
    before, _, summary = app.screen.rpartition(ERASE)
    assert "not with Kafka yet" in before
    assert summary.count("\n") == 1
    assert "20 sent and acknowledged" in summary or "20 images sent and acknowledged" in summary


def test_ids_in_a_file_leave_the_bar_on_the_terminal_and_ids_on_the_terminal_have_none(
    wire: Wire, tmp_path: Path
) -> None:
    options = ("--limit", "10", "--interval", "0.1", "--print-ids")
    ids = tmp_path / "ids"
    with OnTerminal(*query(wire, *options), stdout=ids) as app:
        assert app.end() == 0
    assert " of 10 images" in app.screen
    assert len(ids.read_text().splitlines()) == 10
    for shown, terminal in ((options, "xterm"), ((*options[:-1], "--log-json"), "xterm"), (options[:-1], "dumb")):
        with OnTerminal(*query(wire, *shown), TERM=terminal) as app:
            assert app.end() == 0
        assert " of 10 images" not in app.screen
        assert "\x1b" not in app.screen


def test_ctrl_c_takes_the_bar_away(wire: Wire) -> None:
    with OnTerminal(*query(wire, "--limit", "1000", "--interval", "0.1")) as app:
        wait_until(lambda: re.search(r"\] ([3-9]|\d\d+) of 1000 images", app.screen) is not None, "the bar")
        app.press_ctrl_c()
        assert app.end() == 0
        assert app.is_as_it_was()
    # The terminal itself shows the key, too.
    assert re.search(r"not with Kafka yet(\^C)?\r\x1b\[K\d+ images sent and acknowledged\r\n$", app.screen)
