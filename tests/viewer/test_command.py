"""How the viewer starts and ends, and what it leaves in the cluster."""

import signal
import socket
import time
import uuid

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from tests.system.processes import Process, run, wait_until
from tests.system.wire import Wire
from tests.viewer.pages import HOST, Viewer
from viewer.tail import GROUP_PREFIX

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


def test_it_commits_nothing_leaves_its_groups_and_disturbs_no_other(wire: Wire) -> None:
    wire.create()
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: "partitions assigned" in classifier.log, "the classifier's partition")
        before = own_groups(wire)
        with Viewer(wire) as viewer:
            assert viewer.send(uuid.uuid4().hex)[0] == 202
            wait_until(lambda: len(wire.answers()) == 1, "the answer")
            groups = set(own_groups(wire)) - set(before)
            assert len(groups) == 3
            assert all(committed(wire, group) == [] for group in groups)
            assert viewer.terminate() == 0
        assert not {group for group, state in own_groups(wire).items() if state == ConsumerGroupState.STABLE} & groups
        assert classifier.log.count("partitions assigned") == 1


def own_groups(wire: Wire) -> dict[str, object]:
    """The viewers' groups on this broker, and their states."""
    found = AdminClient({"bootstrap.servers": wire.servers}).list_consumer_groups().result(20)
    return {group.group_id: group.state for group in found.valid if group.group_id.startswith(GROUP_PREFIX)}


def committed(wire: Wire, group: str) -> list[object]:
    """What a group has committed."""
    admin = AdminClient({"bootstrap.servers": wire.servers})
    asked = [ConsumerGroupTopicPartitions(group)]
    return list(admin.list_consumer_group_offsets(asked)[group].result(20).topic_partitions)


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
