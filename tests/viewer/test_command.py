"""How the viewer starts and ends, and what it leaves in the cluster."""

import signal
import socket
import time
import uuid

import pytest

from tests.system.processes import Process, run, wait_until
from tests.system.wire import Wire
from tests.viewer.pages import HOST, Viewer

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_open_pages_do_not_keep_it_from_ending(wire: Wire, number: signal.Signals) -> None:
    with Viewer(wire) as viewer, viewer.events() as events:
        events.next("figures")
        began = time.monotonic()
        viewer.process.send_signal(number)
        assert events.ends()
        assert viewer.end() == 0
        assert time.monotonic() - began < 10
        assert "Traceback" not in viewer.log


def test_it_takes_no_partition_from_a_classifier(wire: Wire) -> None:
    wire.create()
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: f"partitions assigned: {wire.requests}-0" in classifier.log, "the classifier's partition")
        before = classifier.log.count("partitions assigned")
        with Viewer(wire) as viewer:
            assert viewer.send(uuid.uuid4().hex)[0] == 202
            wait_until(lambda: len(wire.answers()) == 1, "the answer")
            assert viewer.terminate() == 0
        assert classifier.log.count("partitions assigned") == before


def test_a_port_in_use_ends_with_78_and_one_sentence(wire: Wire) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("viewer", "--bootstrap-servers", wire.servers, "--port", str(port))
    assert ended.process.returncode == 78
    assert ended.errors == [
        f"Error: cannot listen on 127.0.0.1 port {port} (Address already in use): choose another --port or --host"
    ]


def test_no_broker_ends_with_69(wire: Wire) -> None:
    ended = run("viewer", "--bootstrap-servers", "127.0.0.1:9", "--broker-wait", "0", "--port", "0")
    assert ended.process.returncode == 69
    assert "Traceback" not in ended.log


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--token", "short"], 2, "16 or more letters"),
        (["--token", "with a space in the token"], 2, "16 or more letters"),
        (["--port", "70000"], 2, "not in the range"),
        (["--per-second", "0"], 2, "not in the range"),
        (["--unsure-below", "nan"], 2, "not finite"),
        (["--model", "none.onnx"], 78, "none.onnx cannot be read"),
        (["--contract", "README.md"], 78, "README.md"),
    ],
)
def test_options_that_make_no_sense_are_one_line(options: list[str], code: int, reason: str) -> None:
    ended = run("viewer", "--broker-wait", "0", *options)
    assert (ended.process.returncode, reason in ended.log, "Traceback" in ended.log) == (code, True, False)


def test_elsewhere_than_on_this_machine_there_is_always_a_token(wire: Wire) -> None:
    with Viewer(wire, "--host", "0.0.0.0") as viewer:  # noqa: S104 - that is the point
        assert viewer.token is not None
        assert len(viewer.token) >= 32
        assert viewer.ask("/")[0] == 401
        assert viewer.ask(f"/?token={viewer.token}")[0] == 303
