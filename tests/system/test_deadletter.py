"""`python -m edge.deadletter` over a real Kafka: what a classifier rejected is listed, shown and sent once more."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from edge.images import Images
from edge.pubsub import connect
from edge.records import Headers
from localkafka import LocalKafka
from tests.paths import ROOT
from tests.recorder import read_all
from tests.system.processes import Process, run, wait_until
from tests.system.raw import compress
from tests.system.wire import Wire, wire_on

pytestmark = pytest.mark.kafka


REASONS = ["an image of shape", "an image of shape", "'image/png' is unknown", "2,000,000 bytes", "compressed with lz4"]


@pytest.fixture(scope="module")
def rejected(kafka: LocalKafka, samples: Images) -> Wire:
    """Five dead letters: two short values, an unknown type, a value too large to keep, a batch nobody unpacks."""
    wire = wire_on(kafka)
    config = {"max.message.bytes": "3000000", "compression.type": "producer"}
    with connect(wire.servers) as pubsub:
        pubsub.create_topic(wire.requests, 1, config)
    image = samples.image[0].tobytes()
    bad: list[tuple[bytes | None, Headers]] = [
        (b"short", [("request-id", b"first")]),
        (b"\x1b[31m", [("note", b"\x07")]),
        (image, [("content-type", b"image/png"), ("request-id", b"third")]),
        (bytes(2_000_000), []),
    ]
    wire.send(bad)
    compress(wire.servers, wire.requests, "lz4", [(image, []), (image, [])])
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: len(wire.dead()) == 5, "five dead letters")
        assert classifier.terminate() == 0
    return wire


def dead(wire: Wire, command: str, *options: str) -> Process:
    to = ("--bootstrap-servers", wire.servers, "--dead-letter-topic", wire.dead_letters)
    return run("edge.deadletter", command, *to, *options)


def test_list_prints_a_line_for_each_and_ends(rejected: Wire) -> None:
    listed = dead(rejected, "list")
    assert listed.process.returncode == 0, listed.log
    assert [line.split()[0] for line in listed.lines] == ["0-0", "0-1", "0-2", "0-3", "0-4"]
    for line, reason in zip(listed.lines, REASONS, strict=True):
        assert reason in line
    assert f"{rejected.requests}-0-3  2000000 bytes  device" in " ".join(listed.lines[3].split(" "))
    assert [line.split()[0] for line in dead(rejected, "list", "--reason", "SHAPE", "--limit", "1").lines] == ["0-0"]
    assert dead(rejected, "list", "--since", "2099-01-01").lines == []


def test_list_as_json_and_as_a_summary(rejected: Wire) -> None:
    documents = [json.loads(line) for line in dead(rejected, "list", "--json", "--since", "1h").lines]
    assert [document["offset"] for document in documents] == ["0", "1", "2", "3", "5"]
    assert documents[0]["key"] == "device"
    assert documents[3]["bytes"] == 2_000_000
    assert [document["obstacle"] is None for document in documents] == [True, True, True, False, False]
    summary = dead(rejected, "list", "--summary").lines
    assert [line.split()[0] for line in summary] == ["3", "1", "1"]
    assert "(such as 0-0)" in summary[0]


def test_show_tells_everything_but_steers_no_terminal(rejected: Wire, samples: Images, tmp_path: Path) -> None:
    shown = dead(rejected, "show", "0:1")
    assert shown.process.returncode == 0, shown.log
    text = "\n".join(shown.lines)
    assert f"record       {rejected.requests}-0-1" in text
    assert "header       note: b'\\x07'" in text
    assert "00000000  1b 5b 33 31 6d" in text
    assert "\x1b" not in text
    path = tmp_path / "value"
    assert dead(rejected, "show", "0-2", "--output", str(path)).lines[-1] == f"784 bytes written to {path}"
    assert path.read_bytes() == samples.image[0].tobytes()
    assert "and 272 bytes more: --output FILE writes them all" in dead(rejected, "show", "0-2").lines
    absent = dead(rejected, "show", "0-99")
    assert (absent.process.returncode, len(absent.errors)) == (65, 1)
    assert "there is no dead letter 0-99" in absent.log


def test_replay_writes_what_is_whole_and_refuses_the_rest(rejected: Wire) -> None:
    copies = f"{rejected.requests}-copies"
    with connect(rejected.servers) as pubsub:
        pubsub.create_topic(copies)
    trial = dead(rejected, "replay", "--to", copies, "--dry-run")
    assert trial.process.returncode == 65
    assert trial.lines[-1] == "3 dead letters would be replayed"
    assert read_all(rejected.servers, copies) == []
    replayed = dead(rejected, "replay", "--to", copies)
    assert replayed.process.returncode == 65
    assert replayed.lines == ["3 dead letters replayed and acknowledged"]
    assert replayed.errors[0].startswith("0-3 is not replayed: its value, headers or key were left out")
    assert replayed.errors[1].startswith("0-4 is not replayed: its value is not a request but raw bytes")
    assert replayed.errors[2] == "Error: 2 dead letters cannot be replayed: the lines above say why"
    first, second, _ = read_all(rejected.servers, copies)
    origin = ("dead-letter-replayed-from", f"{rejected.dead_letters}-0-0".encode())
    assert (first.value, first.key, list(first.headers)) == (b"short", b"device", [("request-id", b"first"), origin])
    assert second.value == b"\x1b[31m"


def test_a_dead_letter_of_a_topic_that_is_gone_does_not_keep_the_others_back(rejected: Wire) -> None:
    mixed, own_topic, gone = (f"{rejected.dead_letters}-{name}" for name in ("mixed", "own", "gone"))
    (letter, *_) = read_all(rejected.servers, rejected.dead_letters)
    own = [(name, value) for name, value in letter.headers if name != "__connect.errors.topic"]
    with connect(rejected.servers) as pubsub:
        for topic in (mixed, own_topic):
            pubsub.create_topic(topic)
        for topic in (gone, own_topic, gone, own_topic):
            headers = [*own, ("__connect.errors.topic", topic.encode())]
            pubsub.write(mixed, letter.value, letter.key, headers)
    to = ["--bootstrap-servers", rejected.servers, "--dead-letter-topic", mixed, "--yes"]
    replayed = run("edge.deadletter", "replay", "0-0", "0-1", "0-2", "0-3", "0-1", *to)
    assert (replayed.process.returncode, replayed.lines) == (65, ["2 dead letters replayed and acknowledged"])
    assert replayed.errors[0].startswith(f"0-0 is not replayed: there is no topic '{gone}' here")
    assert replayed.errors[-1] == "Error: 2 dead letters cannot be replayed: the lines above say why"
    assert len(read_all(rejected.servers, own_topic)) == 2


def test_a_replay_to_a_topic_that_is_not_there_says_so(rejected: Wire) -> None:
    lost = dead(rejected, "replay", "0-0", "--to", "nowhere")
    assert lost.process.returncode == 78
    assert lost.errors[-1].startswith("Error: there is no topic 'nowhere' here")
    assert "Traceback" not in lost.log


def test_whoever_sits_at_a_terminal_is_asked(rejected: Wire) -> None:
    terminal, stdin = pty.openpty()
    command = [sys.executable, "-m", "edge.deadletter", "replay", "--dead-letter-topic", rejected.dead_letters]
    with (
        open(terminal, "w") as answer,  # noqa: PTH123 - a file descriptor
        subprocess.Popen(
            [*command, "--bootstrap-servers", rejected.servers],
            cwd=ROOT,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        os.close(stdin)
        answer.write("n\n")
        answer.flush()
        said, _ = process.communicate(timeout=30)
    assert said.startswith("Replay 5 dead letters? [y/N]: ")
    assert "replayed" not in said.partition("Aborted!")[2]
    assert process.returncode == 1
    with connect(rejected.servers) as pubsub:
        assert [record.offset for record in pubsub.client.scan(rejected.requests)] == [0, 1, 2, 3, 5]


def test_a_record_replayed_to_its_own_topic_is_rejected_once_more_and_says_from_where(wire: Wire) -> None:
    wire.create()
    wire.send([(b"short", [("request-id", b"a")]), (b"", [("request-id", b"b")])])
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: len(wire.dead()) == 2, "two dead letters")
        replayed = dead(wire, "replay", "0-1")
        assert (replayed.process.returncode, replayed.lines) == (0, ["1 dead letters replayed and acknowledged"])
        wait_until(lambda: len(wire.dead()) == 3, "a third dead letter")
        assert classifier.terminate() == 0
    again = dict(wire.dead()[2].headers)
    assert again["request-id"] == b"b"
    assert again["dead-letter-replayed-from"] == f"{wire.dead_letters}-0-1".encode()
    assert again["__connect.errors.offset"] == b"2"


def test_a_topic_that_is_not_there_is_named(wire: Wire) -> None:
    absent = dead(wire, "list")
    assert absent.process.returncode == 78
    assert f"there is no topic '{wire.dead_letters}' here" in absent.errors[-1]
    assert "Traceback" not in absent.log
