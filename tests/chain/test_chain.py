"""The whole chain on disk and over a real Kafka: train, export, classify, consume."""

from pathlib import Path

import numpy as np
import pytest

from localkafka import LocalKafka
from tests.paths import IMAGES
from tests.system.processes import Process, run
from tests.system.wire import wire_on

pytestmark = pytest.mark.kafka


def test_a_model_goes_from_training_to_the_consumer(kafka: LocalKafka, tmp_path: Path) -> None:
    data, runs, model = tmp_path / "data.npz", tmp_path / "runs", tmp_path / "model.onnx"
    with np.load(IMAGES) as images:
        # Upright against upside down: two classes that 200 images suffice to tell apart.
        both = np.concatenate([images["image"], images["image"][:, ::-1]])
        label = np.repeat([0, 1], len(images["image"]))
    np.savez(data, image=both, label=label, label_names=np.array(["upright", "upside down"]))

    trained = run("training", "--data", str(data), "--epochs", "15", "--batch-size", "16", "--runs", str(runs))
    assert trained.process.returncode == 0, trained.log
    exported = run("export", "--runs", str(runs), "-o", str(model))
    assert exported.process.returncode == 0, exported.log
    assert (tmp_path / "model.parity.json").exists()

    wire = wire_on(kafka)
    to = ["--bootstrap-servers", wire.servers]
    with (
        Process("edge.classifier", *wire.classifier, "--model", str(model)) as classifier,
        Process("edge.consumer", *to, "--prediction-topic", wire.predictions, "--limit", "400") as consumer,
    ):
        query = run(
            "edge.query",
            *to,
            "--request-topic",
            wire.requests,
            "--images",
            str(data),
            "--interval",
            "0",
            "--limit",
            "400",
        )
        assert query.process.returncode == 0, query.log
        assert consumer.end() == 0
        assert classifier.terminate() == 0
    assert any("upside down" in line for line in consumer.lines)
    assert float(consumer.lines[-1].split()[4]) >= 0.85
