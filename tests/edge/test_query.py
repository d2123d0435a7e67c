"""The query app's options and what it says, on the in-memory client."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edge import cli
from edge.contract import Contract
from edge.errors import BrokerUnavailableError
from edge.folder import Folder
from edge.memory_client import MemoryClient
from edge.npy import load
from edge.pubsub import PubSub
from edge.query import main
from edge.records import Record
from tests.paths import IMAGES, LENET

Query = Callable[..., Result]


@pytest.fixture
def client() -> MemoryClient:
    return MemoryClient()


@pytest.fixture
def query(client: MemoryClient, monkeypatch: pytest.MonkeyPatch) -> Query:
    """Runs the app on the in-memory client; unless that has a fault, which is a broker that is away."""

    def connect(*_: object, **__: object) -> PubSub:
        if client.fault is not None:
            raise client.fault
        return PubSub(client)

    monkeypatch.setattr("edge.cluster.connect", connect)
    monkeypatch.setattr(cli, "stop_on_signals", threading.Event)
    return lambda *options: CliRunner().invoke(main, [str(option) for option in options])


def headers(record: Record) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in record.headers}


def test_images_of_a_file_go_out_with_ids_that_are_printed_when_asked_for(query: Query, client: MemoryClient) -> None:
    result = query("--limit", 3, "--interval", 0, "--device", "cam", "--print-ids")
    assert result.exit_code == 0
    records = client.topics["prediction_request"]
    assert result.stdout.split() == [headers(record)["request-id"] for record in records]
    assert result.stderr == "3 images sent and acknowledged\n"
    assert {record.key for record in records} == {b"cam"}
    assert headers(records[0]).keys() == {"request-id", "created-ns", "true-label"}
    assert query("--limit", 3, "--interval", 0).stdout == "3 images sent and acknowledged\n"


def test_a_spool_says_what_became_of_the_images(query: Query, client: MemoryClient, tmp_path: Path) -> None:
    client.fault = BrokerUnavailableError("away")
    options = ["--spool", tmp_path, "--interval", 0, "--print-ids", "--broker-wait", 0]
    first = query(*options, "--limit", 3)
    assert first.exit_code == 69
    assert len(first.stdout.split()) == 3
    assert first.stderr.splitlines()[-2:] == [
        "3 images sensed: 3 stored, 0 not accepted; 0 sent and acknowledged, 0 dropped, 3 left in the spool",
        "Error: no broker takes the images that are left in the spool: start again with this --spool when one does",
    ]
    client.fault = None
    second = query("--spool", tmp_path, "--interval", 0, "--print-ids", "--limit", 2)
    assert second.exit_code == 0
    assert second.stderr.splitlines()[-1] == (
        "2 images sensed: 2 stored, 0 not accepted; 5 sent and acknowledged, 0 dropped, 0 left in the spool"
    )
    records = client.topics["prediction_request"]
    assert [headers(record)["request-id"] for record in records] == (first.stdout + second.stdout).split()
    created = [int(headers(record)["created-ns"]) for record in records]
    assert created == sorted(created)


def test_images_for_which_there_is_no_room_are_not_reported_as_accepted(
    query: Query, client: MemoryClient, tmp_path: Path
) -> None:
    client.fault = BrokerUnavailableError("away")
    options = ["--spool", tmp_path, "--interval", 0, "--print-ids", "--broker-wait", 0, "--spool-max-bytes", 65536]
    result = query(*options, "--limit", 100)
    stored = len(result.stdout.split())
    assert 0 < stored < 100
    assert f"100 images sensed: {stored} stored, {100 - stored} not accepted; 0 sent" in result.stderr
    result = query(*options, "--limit", 100, "--spool-when-full", "drop-oldest")
    assert len(result.stdout.split()) == 100
    assert "100 images sensed: 100 stored, 0 not accepted; 0 sent and acknowledged, " in result.stderr


def test_image_files_become_what_the_contract_asks_for(query: Query, client: MemoryClient, tmp_path: Path) -> None:
    for number, size in enumerate([(28, 28), (100, 50)]):
        Image.new("RGB", size, (40 * number,) * 3).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    os.utime(tmp_path / "broken.jpg", (1000, 1000))
    result = query("--images", tmp_path, "--contract", LENET, "--limit", 2)
    assert result.exit_code == 0
    assert result.stdout == "2 images sent and acknowledged, 1 files left that cannot be read\n"
    assert [record.value for record in client.topics["prediction_request"]] == [bytes(784), bytes([40]) * 784]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.jpg", "sent"]
    assert sorted(path.name for path in (tmp_path / "sent").iterdir()) == ["0.png", "1.png"]


def test_image_files_without_a_contract_are_arrays_of_their_own_size(
    query: Query, client: MemoryClient, tmp_path: Path
) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert query("--images", tmp_path, "--limit", 1).exit_code == 0
    (record,) = client.topics["prediction_request"]
    assert headers(record)["content-type"] == "application/x-npy"
    np.testing.assert_array_equal(load(record.value or b""), pixels)


def test_files_stay_where_they_are_until_there_is_room(
    query: Query,
    client: MemoryClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.fault = BrokerUnavailableError("away")
    images = tmp_path / "images"
    images.mkdir()
    for number in range(80):
        Image.new("L", (28, 28), number).save(images / f"{number:02}.png")
    options = ["--images", images, "--contract", LENET, "--spool", tmp_path / "spool", "--broker-wait", 0]
    bounds = ["--spool-max-bytes", 65536]

    refused = Folder.refused

    def refuse(folder: Folder, image_id: str) -> None:
        # The broker comes when there is no more room.
        client.fault = None
        refused(folder, image_id)

    monkeypatch.setattr(Folder, "refused", refuse)
    result = query(*options, *bounds, "--limit", 80)
    assert result.exit_code == 0
    assert "80 images sensed: 80 stored, 0 not accepted; 80 sent and acknowledged, 0 dropped, 0 left" in result.stdout
    assert "not accepted: the spool is full" in caplog.text
    values = [record.value for record in client.topics["prediction_request"]]
    assert values == [bytes([number]) * 784 for number in range(80)]


def test_what_does_not_go_together_is_refused(query: Query, tmp_path: Path, contract: Contract) -> None:
    def last(*options: object) -> tuple[int, str]:
        result = query(*options)
        return result.exit_code, result.stderr.splitlines()[-1]

    assert last("--spool-max-age", 5) == (2, "Error: the bounds of a spool need --spool")
    assert last("--images", tmp_path, "--shuffle")[0] == 2
    code, line = last("--images", tmp_path / ("x" * 300))
    assert (code, "cannot look at" in line, "File name too long" in line) == (78, True, True)
    document = json.loads(contract.to_json())
    document["input"]["shape"] = [14, 14]
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(document))
    code, line = last("--images", IMAGES, "--contract", path, "--limit", 1)
    assert code == 65
    assert line.endswith("asks for uint8 of (14, 14), and only PNG and JPEG files are converted")
    document["input"]["dtype"] = "float32"
    path.write_text(json.dumps(document))
    assert last("--images", tmp_path, "--contract", path)[0] == 78
    assert last("--images", tmp_path / "none")[0] == 65
    assert query("--images", IMAGES, "--contract", LENET, "--limit", 1).exit_code == 0
