"""What the tests of processes say when they fail: enough to find the cause of what happens once in forty runs."""

import time
from collections.abc import Callable

import pytest

from tests.paths import ROOT
from tests.system.processes import Process, wait_until


def fail_with(app: Process, so_far: Callable[[], bool]) -> str:
    """What a test that fails now says of an app."""

    def test() -> None:
        with app:
            wait_until(so_far, "so much")
            raise AssertionError("in vain")

    with pytest.raises(AssertionError, match="in vain") as raised:
        test()
    (note,) = raised.value.__notes__
    return note


def test_a_failure_tells_what_a_process_said_and_where_its_threads_stood() -> None:
    app = Process("edge.consumer", "--bootstrap-servers", "localhost:1")
    note = fail_with(app, lambda: bool(app.errors))
    assert "was running, and said:" in note
    assert "waiting for a Kafka broker" in note
    assert "most recent call first" in note


def test_a_failure_tells_how_a_process_ended() -> None:
    app = Process("edge.classifier", "--model", "none.onnx")
    note = fail_with(app, lambda: app.process.poll() is not None)
    assert f"had ended with 78, and said:\nError: there is no model file {ROOT / 'none.onnx'}" in note


def test_a_look_that_takes_all_the_time_is_followed_by_another() -> None:
    looks: list[float] = []

    def look() -> bool:
        looks.append(time.monotonic())
        while time.monotonic() < looks[0] + 0.2:
            time.sleep(0.01)
        return len(looks) == 2

    wait_until(look, "the second look", 0.1)
