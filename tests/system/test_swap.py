"""A model that takes long to load takes over beside the loop, and holds no stop up."""

import logging
import signal
import time
from pathlib import Path

import psutil
import pytest

from edge.codec import decode_prediction
from edge.hooks import Served
from edge.images import Images
from edge.model import load_model
from edge.swap import ModelFile, ModelWatch
from tests.edge.watched import DATA, OLD, name, put
from tests.scrape import Scrape
from tests.system.processes import Process, wait_until
from tests.system.slow_model import slow_model
from tests.system.test_metrics import ask
from tests.system.wire import Wire, requests

ENDLESS = 4_000
"""Products that take minutes."""


def wait_for_work(process: psutil.Process) -> None:
    """Return when the process has computed for half a second more."""
    begun = sum(process.cpu_times()[:2])
    wait_until(lambda: sum(process.cpu_times()[:2]) > begun + 0.5, "half a second of computing")


@pytest.mark.parametrize(("at_load", "at_inference"), [(100, 0), (0, ENDLESS)])
def test_a_load_is_given_up_when_the_watch_ends(
    at_load: int, at_inference: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, before = tmp_path / "model.onnx", signal.getsignal(signal.SIGHUP)
    put(path, DATA)
    served = Served(load_model(path))
    watch = ModelWatch(served, ModelFile(path), 0.05)
    put(path, slow_model(at_load, at_inference))
    watch.start()
    try:
        wait_for_work(psutil.Process())
    finally:
        started = time.monotonic()
        watch.close()
        signal.signal(signal.SIGHUP, before)
    assert time.monotonic() - started < 30
    assert watch.model() is served
    assert caplog.messages == []


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_stop_in_the_middle_of_a_load_is_as_quick_and_clean_as_any(
    wire: Wire, samples: Images, tmp_path: Path, delivery: str
) -> None:
    path = tmp_path / "model.onnx"
    new = slow_model(at_load=10, at_inference=30)
    put(path, DATA)
    options = ["--model", str(path), "--watch-model", "0.05", "--metrics-port", "0", "--instance-id", "one"]
    with Process("edge.classifier", *wire.classifier, *options, "--delivery", delivery) as classifier:
        process = psutil.Process(classifier.process.pid)
        wire.send(requests(samples, 20))
        wait_until(lambda: len(wire.committed()) == 20, "answers of the old model")
        put(path, new)
        wait_until(lambda: "now serving slow" in classifier.log, "the new model")
        wait_until(
            lambda: Scrape(ask(classifier, "/metrics")[1]).labels("edge_model_info")[0]["sha256"] == name(new),
            "the new model in the metrics, without a request",
        )
        put(path, slow_model(at_inference=ENDLESS))
        wait_for_work(process)
        wire.send(requests(samples, 3))
        wait_until(lambda: len(wire.committed()) == 23, "answers beside the load")
        started = time.monotonic()
        assert classifier.terminate() == 0
        assert time.monotonic() - started < 20
    makers = [decode_prediction(record).sha256 for record in wire.predicted()]
    assert makers == [OLD] * 20 + [name(new)] * 3
    assert "stopped: 23 predictions, 0 dead letters written" in classifier.errors[-1]
    assert "refused" not in classifier.log
