"""What the consumer app prints, on the in-memory client; on a terminal it is tested in tests/system."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge import cli
from edge.codec import Prediction
from edge.consumer import main
from edge.memory_client import MemoryClient
from edge.pubsub import PubSub
from tests.edge.predictions import dumped
from tests.paths import LENET, ROOT

Consumer = Callable[..., Result]
HOSTILE = "\x1b]0;gone\x07\x9b2J\r\u202e\u2028"
MARK = "\N{REPLACEMENT CHARACTER}"


@pytest.fixture
def client() -> MemoryClient:
    return MemoryClient()


@pytest.fixture
def consumer(client: MemoryClient, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """Runs the app on the in-memory client until it has read as many as there are."""
    monkeypatch.setattr("edge.cluster.connect", lambda *_, **__: PubSub(client))
    monkeypatch.setattr(cli, "stop_on_signals", threading.Event)

    def run(*options: object) -> Result:
        limit = len(client.topics["prediction_output"])
        return CliRunner().invoke(main, ["--limit", str(limit), *map(str, options)])

    return run


def predict(client: MemoryClient, name: str, label: str = "Bag", **headers: str) -> None:
    prediction = Prediction(name, 8, label, 0.875, "lenet", "0123456789ab", 0.8, 0.1, 1)
    encoded = [(key.replace("_", "-"), value.encode()) for key, value in headers.items()]
    client.append("prediction_output", dumped(prediction), headers=encoded)


def request(client: MemoryClient, name: str, value: bytes) -> None:
    client.append("prediction_request", value, headers=[("request-id", name.encode())])


def test_lines_say_label_confidence_and_verdict(consumer: Consumer, client: MemoryClient) -> None:
    predict(client, "0123456789abcdef", true_label="Bag")
    predict(client, "b", true_label="Coat")
    predict(client, "c")
    client.append("prediction_output", b"no prediction")
    assert consumer().stdout.splitlines() == [
        "0123456789ab  Bag             87.50%  right                       accuracy 1.0000 (1 of 1)",
        "b             Bag             87.50%  wrong, it is Coat           accuracy 0.5000 (1 of 2)",
        "c             Bag             87.50%",
        "4 predictions read, accuracy 0.5000 (1 of 2)",
    ]


@pytest.mark.parametrize("options", [(), ("--json",), ("--images",), ("--stats",)])
def test_nothing_in_a_message_steers_the_terminal(
    consumer: Consumer, client: MemoryClient, options: tuple[str, ...]
) -> None:
    predict(client, HOSTILE, HOSTILE, true_label=HOSTILE)
    request(client, HOSTILE, bytes(range(16)))
    result = consumer(*options)
    assert result.exit_code == 0
    assert all(line.isprintable() for line in (result.stdout + result.stderr).split("\n"))
    if "--json" in options:
        document = json.loads(result.stdout)
        assert (document["id"], document["label"], document["true_label"]) == (HOSTILE,) * 3
    else:
        assert f"{MARK}]0;gone{MARK}{MARK}2" in result.stdout


def test_json_keeps_letters_of_every_language(consumer: Consumer, client: MemoryClient) -> None:
    predict(client, "a", "靴 Stiefel ß")
    assert '"label": "靴 Stiefel ß"' in consumer("--json").stdout


def test_images_are_drawn_beside_their_predictions_without_colours_where_no_terminal_is(
    consumer: Consumer, client: MemoryClient
) -> None:
    black_above_white = np.repeat(np.array([0, 0, 255, 255], np.uint8), 4)
    request(client, "first", black_above_white.tobytes())
    request(client, "second", bytes([255] * 16))
    predict(client, "second", "Bag", true_label="Bag")
    predict(client, "first", "Coat")
    predict(client, "first", "Coat")
    assert consumer("--images").stdout.splitlines() == [
        "@@@@  second",
        "@@@@  Bag  87.50%",
        "      right",
        "      accuracy 1.0000 (1 of 1)",
        "      first",
        "@@@@  Coat  87.50%",
        "",
        "",
        "first         Coat            87.50%",
        "3 predictions read, accuracy 1.0000 (1 of 1), 1 without image",
    ]


def test_a_request_that_is_no_picture_is_counted_and_a_contract_tells_the_shape(
    consumer: Consumer, client: MemoryClient, tmp_path: Path
) -> None:
    for name, value in (("a", bytes(24)), ("b", bytes(784))):
        request(client, name, value)
        predict(client, name)
    assert consumer("--images").stdout.endswith("2 predictions read, 1 without image\n")
    client.committed.clear()
    assert consumer("--images", "--contract", LENET).stdout.endswith("2 predictions read, 1 without image\n")
    client.committed.clear()
    contract = tmp_path / "contract.json"
    own = {"name": "own", "labels": ["Bag"], "output": {"name": "p"}}
    contract.write_text(json.dumps({**own, "input": {"name": "i", "dtype": "uint8", "shape": [4, 6]}}))
    result = consumer("--images", "--contract", contract)
    assert "      a\n" in result.stdout
    assert result.stdout.endswith("2 predictions read, 1 without image\n")


def test_options_that_contradict_one_another_are_refused(consumer: Consumer, tmp_path: Path) -> None:
    result = consumer("--images", "--json", "--limit", 1)
    assert result.exit_code == 2
    assert "leave one of them out" in result.stderr
    for options in (("--contract", LENET), ("--request-topic", "in")):
        result = consumer(*options, "--limit", 1)
        assert result.exit_code == 2
        assert f"{options[0]} needs --images" in result.stderr
    result = consumer("--images", "--contract", tmp_path / "none.onnx", "--limit", 1)
    assert result.exit_code == 78
    assert "cannot be read" in result.output


def test_stats_are_said_at_the_end_on_stderr(consumer: Consumer, client: MemoryClient) -> None:
    for number in range(3):
        request(client, str(number), bytes(16))
        predict(client, str(number), created_ns=str(time.time_ns() - 5_000_000_000))
    result = consumer("--stats", "--json")
    assert len(result.stdout.splitlines()) == 3
    line, summary = result.stderr.splitlines()
    assert float(line.split("p50 ")[1].split()[0]) >= 5_000
    assert line.endswith(" ms, late 3, Bag 100%")
    assert summary == "3 predictions read"
    client.committed.clear()
    predict(client, "gone")
    assert consumer("--stats", "--images").stderr.endswith(", late 3, without image 1, Bag 100%\n")


LISTING = "import sys; import edge.consumer, edge.query; print(*sys.modules)"


def test_nothing_is_imported_for_what_is_not_asked_for() -> None:
    run = subprocess.run([sys.executable, "-c", LISTING], cwd=ROOT, check=True, capture_output=True, text=True)
    own = {"drawn", "halfblocks", "progressbar", "raster", "requested", "stats", "statusline", "terminal"}
    assert not {f"edge.{name}" for name in own} & set(run.stdout.split())
