"""Real names of tfds, of different shape: training, export, edge and consumer, each app a process of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from edge.codec import decode_prediction
from localkafka import LocalKafka
from tests.system.processes import Process, run
from tests.system.wire import wire_on
from training.runs import newest, read_json

pytestmark = pytest.mark.kafka

TRAIN, TEST = 120, 40

Fill = Callable[[np.random.Generator], dict[str, Any]]

OTHER_FEATURES: dict[str, Fill] = {
    "mnist": lambda random: {},
    "cifar100": lambda random: {"id": f"{random.integers(10**6)}", "coarse_label": int(random.integers(20))},
    "patch_camelyon": lambda random: {"id": f"{random.integers(10**6)}"},
}
"""What the data sets have beside image and label."""


def prepare(name: str, data_dir: Path) -> None:
    """Prepare a few random pictures as the data set `name`, with tfds's own features, files and names of classes."""

    def generate(self: Any, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        random, features = np.random.default_rng(count), self.info.features
        for number in range(count):
            image = random.integers(0, 256, features["image"].shape, np.uint8)
            label = number % features["label"].num_classes
            yield number, {"image": image, "label": label, **OTHER_FEATURES[name](random)}

    original = type(tfds.builder(name, data_dir=str(data_dir)))
    methods = {
        "_split_generators": lambda self, manager: {
            split: self._generate_examples(count) for split, count in (("train", TRAIN), ("test", TEST))
        },
        "_generate_examples": generate,
        "name": name,
        "__module__": original.__module__,
    }
    with tfds.core.registered.skip_registration():
        type(original.__name__, (original,), methods)(data_dir=str(data_dir)).download_and_prepare()


@pytest.mark.parametrize(
    ("name", "architecture", "shape", "classes"),
    [
        ("mnist", "lenet", (28, 28, 1), 10),
        ("cifar100", "resnet20", (32, 32, 3), 100),
        ("patch_camelyon", "smallcnn", (96, 96, 3), 2),
    ],
)
def test_a_data_set_goes_from_tfds_to_the_consumer(
    name: str, architecture: str, shape: tuple[int, ...], classes: int, kafka: LocalKafka, tmp_path: Path
) -> None:
    prepare(name, tmp_path / "tfds")
    runs, model = tmp_path / "runs", tmp_path / "model.onnx"
    options = ["--data", name, "--architecture", architecture, "--epochs", "1", "--runs", str(runs)]
    trained = run("training", *options, TFDS_DATA_DIR=str(tmp_path / "tfds"))
    assert trained.process.returncode == 0, trained.log
    exported = run("export", "--runs", str(runs), "-o", str(model))
    assert exported.process.returncode == 0, exported.log
    with np.load(newest(runs).predictions("test")) as file:
        images, probabilities, names = file["image"], file["probabilities"], file["label_names"]
    assert (images.shape, probabilities.shape) == ((TEST, *shape), (TEST, classes))

    wire = wire_on(kafka)
    wire.create()
    to, source = ["--bootstrap-servers", wire.servers], str(newest(runs).predictions("test"))
    with (
        Process("edge.classifier", *wire.classifier, "--model", str(model)) as classifier,
        Process("edge.consumer", *to, "--prediction-topic", wire.predictions, "--limit", str(TEST)) as consumer,
    ):
        query = [*to, "--request-topic", wire.requests, "--images", source, "--interval", "0", "--limit", str(TEST)]
        sent = run("edge.query", *query)
        assert sent.process.returncode == 0, sent.log
        assert consumer.end() == 0
        assert classifier.terminate() == 0
    answers = [decode_prediction(record) for record in wire.predicted()]
    assert [answer.label for answer in answers] == [str(names[n]) for n in probabilities.argmax(axis=1)]
    np.testing.assert_allclose([answer.confidence for answer in answers], probabilities.max(axis=1), atol=1e-4)
    assert f"accuracy {read_json(newest(runs).metrics)['test_accuracy']:.4f}" in consumer.lines[-1]
    assert wire.dead() == []
