"""A real classifier over a real Kafka is scraped: what it tells is what was sent, and what became of it."""

import dataclasses
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from edge.codec import decode_prediction
from edge.contract import Reference
from edge.images import Images
from edge.model import load_model
from edge.pubsub import CLIENTS
from tests.paths import LENET
from tests.scrape import Scrape
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire, requests

pytestmark = pytest.mark.kafka

GOOD, BAD = 1000, 30
"""As many good ones as the window of drift holds."""


def ask(classifier: Process, path: str) -> tuple[int, str]:
    """Status and text."""
    found = re.search(r"metrics at http://127\.0\.0\.1:(\d+)/metrics", classifier.log)
    assert found is not None, classifier.log
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def contract_file(directory: Path) -> tuple[Path, Reference]:
    """The model's contract, and a reference in it as export would write it."""
    reference = Reference((0.55, *[0.05] * 9), 0.5)
    path = directory / "contract.json"
    path.write_text(dataclasses.replace(load_model(LENET).contract, reference=reference).to_json())
    return path, reference


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_classifier_tells_prometheus_is_what_was_sent(
    wire: Wire, samples: Images, client: str, tmp_path: Path
) -> None:
    wire.create(partitions=2)
    contract, reference = contract_file(tmp_path)
    created = [("created-ns", b"%d" % time.time_ns())]
    good = [(value, [*headers, *created]) for value, headers in requests(samples, GOOD)]
    bad = [(b"short", created)] * (BAD - 10) + [(None, created)] * 10
    options = ["--metrics-port", "0", "--contract", str(contract), "--client", client]
    with Process("edge.classifier", *wire.classifier, *options) as classifier:
        wait_until(lambda: "metrics at" in classifier.log, "the port")
        assert ask(classifier, "/livez") == (200, "ok\n")
        wait_until(lambda: ask(classifier, "/readyz") == (200, "ok\n"), "partitions")
        wire.send([*good, *bad], key=lambda n: b"%d" % n)

        def has_all() -> bool:
            scrape = Scrape(ask(classifier, "/metrics")[1])
            lag = scrape.labelled("edge_consumer_lag_records", "partition")
            is_done = scrape["edge_requests_total"] == GOOD + BAD and scrape["edge_in_flight_records"] == 0
            return is_done and lag == {"0": 0, "1": 0}

        wait_until(has_all, "all requests in the metrics, and neither lag nor anything in flight")
        text = ask(classifier, "/metrics")[1]
        resident_mb = int(Path(f"/proc/{classifier.process.pid}/statm").read_text().split()[1]) * 4096 / 2**20
        assert classifier.terminate() == 0
    assert "Traceback" not in classifier.log
    found = Scrape(text)
    predictions = [decode_prediction(record) for record in wire.predicted()]
    assert found["edge_predictions_total"] == len(predictions) == GOOD
    reasons = found.labelled("edge_dead_letters_total", "reason")
    assert sorted(reasons.values()) == [10, BAD - 10]
    assert reasons["the record has no value; an image is needed"] == 10
    mix = Counter(prediction.label for prediction in predictions)
    told = found.labelled("edge_predicted_class_total", "label")
    assert {label: count for label, count in told.items() if count} == mix
    assert found["edge_confidence_count"] == GOOD
    assert found["edge_confidence_sum"] == pytest.approx(sum(p.confidence for p in predictions), abs=0.01)
    # The first of each batch tells of all in it.
    sizes = Counter(p.batch for p in predictions)
    assert found["edge_batch_size_sum"] == GOOD
    assert found["edge_batch_size_count"] == sum(count / size for size, count in sizes.items())
    queue_s = sum(p.queue_ms for p in predictions) / 1000
    assert found['edge_stage_seconds_sum{stage="queue"}'] == pytest.approx(queue_s, abs=0.01)
    assert found['edge_stage_seconds_count{stage="request"}'] == GOOD
    assert found["edge_implausible_created_total"] == 0
    (model,) = found.labels("edge_model_info")
    assert {model["sha256"]} == {p.sha256 for p in predictions}
    shares = [mix[label] / GOOD for label in load_model(LENET).contract.labels]
    distance = sum(abs(a - b) for a, b in zip(shares, reference.class_mix, strict=True)) / 2
    assert found["edge_drift_class_mix"] == pytest.approx(distance, abs=1e-6)
    mean = found["edge_confidence_sum"] / GOOD
    assert found["edge_drift_confidence"] == pytest.approx(mean - 0.5, abs=1e-4)
    assert (found["edge_live"], found["edge_ready"], found["edge_assigned_partitions"]) == (1, 1, 2)
    assert found["process_resident_memory_bytes"] / 2**20 == pytest.approx(resident_mb, rel=0.1)
    if promtool := shutil.which("promtool"):
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
