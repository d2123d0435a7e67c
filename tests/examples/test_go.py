"""The Go client: built, run over a real Kafka against the real classifier, and compared with onnxruntime."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.codec import header
from edge.images import Images
from edge.model import load_model
from edge.pubsub import connect
from localkafka import LocalKafka
from localkafka.ports import free_port
from tests.paths import LENET, ROOT
from tests.recorder import read_all
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire, wire_on

FOLDER = ROOT / "examples" / "go"
GO = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"]))
BUILD_S, DEADLINE_S = 600, 60

pytestmark = pytest.mark.skipif(GO is None, reason="go is not installed: see https://go.dev/doc/install")


def go(*words: str) -> str:
    """Run `go` on the client; its output."""
    assert GO is not None
    ended = subprocess.run([GO, *words], cwd=FOLDER, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("go") / "client"
    go("build", "-o", str(path), ".")
    return path


@pytest.fixture
def wire(kafka: LocalKafka) -> Wire:
    wire = wire_on(kafka)
    wire.create(partitions=3)
    return wire


@pytest.fixture
def classifier(wire: Wire) -> Iterator[Process]:
    with Process("edge.classifier", *wire.classifier) as process:
        yield process


@pytest.fixture
def idx(samples: Images, tmp_path: Path) -> list[str]:
    """Options that name the samples as IDX files, the labels packed."""
    assert samples.label is not None
    images, labels = tmp_path / "images-idx3-ubyte", tmp_path / "labels-idx1-ubyte.gz"
    sizes = b"".join(size.to_bytes(4, "big") for size in (200, 28, 28))
    images.write_bytes(b"\0\0\x08\x03" + sizes + samples.image.tobytes())
    labels.write_bytes(gzip.compress(b"\0\0\x08\x01" + sizes[:4] + samples.label.astype(np.uint8).tobytes()))
    return ["-images", str(images), "-labels", str(labels)]


@pytest.fixture
def raw(samples: Images, tmp_path: Path) -> Path:
    path = tmp_path / "images.raw"
    path.write_bytes(samples.image.tobytes())
    return path


def command(binary: Path, wire: Wire, *options: str) -> list[str]:
    to = ["-brokers", wire.servers, "-request-topic", wire.requests, "-prediction-topic", wire.predictions]
    return [str(binary), *to, "-dead-letter-topic", wire.dead_letters, "-interval", "1ms", *options]


def ask(binary: Path, wire: Wire, *options: str) -> subprocess.CompletedProcess[str]:
    words = command(binary, wire, *options)
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def answers(output: str) -> dict[int, tuple[str, float]]:
    """Number of the request → label and confidence."""
    found = re.findall(r"^ *(\d+)  (.+?) +(\d+\.\d\d) % +\d+\.\d ms", output, re.MULTILINE)
    assert len({number for number, *_ in found}) == len(found)
    return {int(number): (label, float(percent) / 100) for number, label, percent in found}


@pytest.mark.kafka
@pytest.mark.usefixtures("classifier")
def test_the_answers_are_those_of_onnxruntime(binary: Path, wire: Wire, idx: list[str], samples: Images) -> None:
    ended = ask(binary, wire, *idx, "-n", "250", "-device", "camera-7")
    assert (ended.returncode, ended.stderr) == (0, "")
    model = load_model(LENET)
    assert samples.label is not None
    shown = [n % 200 for n in range(250)]
    probabilities = model.infer(samples.image)[shown]
    found = answers(ended.stdout)
    assert sorted(found) == list(range(250))
    assert [found[n][0] for n in range(250)] == [model.contract.labels[k] for k in probabilities.argmax(axis=1)]
    np.testing.assert_allclose([found[n][1] for n in range(250)], probabilities.max(axis=1), atol=0.0002)
    right = int((probabilities.argmax(axis=1) == samples.label[shown]).sum())
    assert f"250 of 250 requests answered, 0 rejected, accuracy {right / 250:.4f} ({right} of 250)" in ended.stdout
    assert (ended.stdout.count("  right\n"), ended.stdout.count("  wrong, it is class ")) == (right, 250 - right)


@pytest.mark.kafka
@pytest.mark.usefixtures("classifier")
def test_what_is_sent_is_what_the_page_says(binary: Path, wire: Wire, idx: list[str], samples: Images) -> None:
    assert ask(binary, wire, *idx, "-n", "3", "-device", "camera-7").returncode == 0
    sent = read_all(wire.servers, wire.requests)
    assert [record.key for record in sent] == [b"camera-7"] * 3
    assert [record.value for record in sent] == [image.tobytes() for image in samples.image[:3]]
    for record, answer in zip(sent, wire.predicted(), strict=True):
        assert [name for name, _ in record.headers] == ["request-id", "created-ns", "true-label"]
        assert list(answer.headers)[:3] == list(record.headers)
        # One key has one partition, whichever client writes.
        assert answer.partition.number == record.partition.number


@pytest.mark.kafka
@pytest.mark.usefixtures("classifier")
def test_raw_bytes_are_sent_and_earlier_answers_are_not_shown(binary: Path, wire: Wire, raw: Path) -> None:
    for _ in range(2):
        ended = ask(binary, wire, "-images", str(raw), "-n", "5")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert sorted(answers(ended.stdout)) == list(range(5))
        assert "accuracy" not in ended.stdout
        assert re.search(r"5 of 5 .* round trip \d+\.\d ms \(median\), \d+\.\d ms \(longest\)", ended.stdout)


@pytest.mark.kafka
@pytest.mark.usefixtures("classifier")
def test_rejected_requests_come_with_their_reason(binary: Path, wire: Wire, raw: Path) -> None:
    ended = ask(binary, wire, "-images", str(raw), "-size", "392", "-n", "2")
    assert ended.returncode == 65
    reason = "rejected: the value has 392 bytes; an image of shape (28, 28, 1) of uint8 has 784"
    assert ended.stdout.count(reason) == 2
    assert ended.stderr == "error: 2 requests were rejected, for the reasons above\n"


def prediction(name: str, label: str = "Bag") -> bytes:
    return json.dumps({"id": name, "class": 8, "label": label, "confidence": 0.5}).encode()


@pytest.mark.kafka
def test_repeated_foreign_and_broken_records_are_passed_over(binary: Path, wire: Wire, raw: Path) -> None:
    words = command(binary, wire, "-images", str(raw), "-n", "2")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        wait_until(lambda: len(read_all(wire.servers, wire.requests)) == 2, "both requests")
        sent = read_all(wire.servers, wire.requests)
        names = sorted(header(record, "request-id") or "" for record in sent)
        first, second = prediction(names[0]), prediction(names[1], "\x1b[31mred")
        with connect(wire.servers) as pubsub:
            for value in (
                b"noise",
                b"",
                b'{"id": 7}',
                prediction("theirs-0"),
                prediction(names[0] + "9"),
                first,
                first,
            ):
                pubsub.write(wire.predictions, value, sent[0].key, [("created-ns", b"0")])
            pubsub.write(wire.predictions, second, sent[0].key)
        output, errors = client.communicate(timeout=DEADLINE_S)
    assert (client.returncode, errors) == (0, "")
    assert output.splitlines()[2].startswith("2 of 2 requests answered, 0 rejected")
    assert [line.split()[1] for line in output.splitlines()[:2]] == ["Bag", "\N{REPLACEMENT CHARACTER}[31mred"]


@pytest.mark.kafka
def test_ctrl_c_ends_it_with_what_has_come(binary: Path, wire: Wire, raw: Path) -> None:
    words = command(binary, wire, "-images", str(raw), "-n", "1000000")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        wait_until(lambda: len(read_all(wire.servers, wire.requests)) > 0, "a request")
        client.send_signal(signal.SIGINT)
        output, errors = client.communicate(timeout=DEADLINE_S)
    assert (client.returncode, errors) == (0, "")
    assert output == "0 of 1000000 requests answered, 0 rejected\n"


@pytest.mark.kafka
def test_answers_that_do_not_come_are_told(binary: Path, wire: Wire, raw: Path) -> None:
    ended = ask(binary, wire, "-images", str(raw), "-n", "3", "-timeout", "2s")
    assert ended.returncode == 69
    assert ended.stderr == "error: 3 answers did not come in time: is a classifier running?\n"


@pytest.mark.kafka
def test_topics_that_are_not_there_are_told(binary: Path, kafka: LocalKafka, raw: Path) -> None:
    ended = ask(binary, wire_on(kafka), "-images", str(raw))
    assert ended.returncode == 78
    assert "start a classifier, which creates the topics" in ended.stderr


def test_a_broker_that_is_away_is_named(binary: Path, raw: Path) -> None:
    servers = f"127.0.0.1:{free_port()}"
    words = [str(binary), "-brokers", servers, "-images", str(raw)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 69
    assert ended.stderr.startswith(f"error: no Kafka broker at {servers} (")
    assert ended.stderr.count("\n") == 1


BAD_FILES = {
    "absent": (None, "cannot be read"),
    "empty": (b"", "0 bytes"),
    "cut off": (bytes(783), "783 bytes are no multiple of 784"),
    "IDX cut off": (b"\0\0\x08\3" + b"\0\0\0\2\0\0\0\x1c\0\0\0\x1c" + bytes(784), "no IDX file of 3 dimensions"),
    "IDX of nothing": (b"\0\0\x08\3" + bytes(12), "no IDX file of 3 dimensions"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_told(name: str, binary: Path, tmp_path: Path) -> None:
    content, reason = BAD_FILES[name]
    path = tmp_path / "images"
    if content is not None:
        path.write_bytes(content)
    ended = subprocess.run([str(binary), "-images", str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 65
    assert reason in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_labels_of_other_images_are_told(binary: Path, raw: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.write_bytes(bytes(199))
    words = [str(binary), "-images", str(raw), "-labels", str(labels)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (65, f"error: {labels} has 199 labels for 200 images\n")


@pytest.mark.parametrize("options", [[], ["-images", "x", "-n", "0"], ["-images", "x", "-interval", "-1s"], ["-what"]])
def test_wrong_options_are_refused(options: list[str], binary: Path) -> None:
    assert subprocess.run([str(binary), *options], capture_output=True, check=False).returncode == 2


def test_the_source_is_formatted_checked_and_short() -> None:
    assert GO is not None
    ended = subprocess.run([Path(GO).with_name("gofmt"), "-l", "."], cwd=FOLDER, capture_output=True, check=True)
    assert ended.stdout == b""
    go("vet", ".")
    assert len((FOLDER / "main.go").read_text().splitlines()) <= 200
