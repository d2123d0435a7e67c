"""Runs as training leaves them, made of tiny Keras models in seconds."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result

from export.__main__ import main

Export = Callable[..., Result]
MakeRun = Callable[..., Path]

GREY = (28, 28, 1)
COLOUR = (16, 16, 3)
TEMPERATURE = 1.7


def build(shape: tuple[int, ...], classes: int, seed: int) -> Any:
    """A small convolutional Keras model with the scaling inside, random weights."""
    import tensorflow as tf  # noqa: PLC0415

    tf.keras.utils.set_random_seed(seed)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu" if shape[-1] == 3 else "tanh"),
            layers.MaxPooling2D(2) if shape[-1] == 3 else layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(classes, kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.3, seed=seed)),
        ]
    )
    weights = model.get_weights()
    weights[4] = weights[4] + np.float32(0.25)  # a moving mean that a wrong conversion of training mode would miss
    model.set_weights(weights)
    return model


def save(model: Any, directory: Path, shape: tuple[int, ...], ending: str = "softmax") -> Any:
    """Write a SavedModel with the uint8 signature that training writes; the served function is returned."""
    import tensorflow as tf  # noqa: PLC0415

    archive = tf.keras.export.ExportArchive()
    archive.track(model)

    def serve(image: Any) -> dict[str, Any]:
        logits = model(tf.cast(image, tf.float32), training=False)
        ends = {
            "softmax": tf.nn.softmax,
            "calibrated": lambda x: tf.nn.softmax(x / TEMPERATURE),
            "logits": tf.identity,
            "nan": lambda x: x * float("nan"),
        }
        return {"probabilities": ends[ending](logits)}

    function = tf.function(serve, input_signature=[tf.TensorSpec([None, *shape], tf.uint8, name="image")])
    archive.add_endpoint("serve", function)
    archive.write_out(str(directory), verbose=False)
    return function


def write_run(
    directory: Path, shape: tuple[int, ...], classes: int, count: int, seed: int = 1, ending: str = "softmax"
) -> Path:
    """A complete run of an untrained model on noise."""
    (directory / "models").mkdir(parents=True)
    serve = save(build(shape, classes, seed), directory / "models" / "saved_model", shape, ending)
    random = np.random.default_rng(7)
    image = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    label = random.integers(0, classes, count)
    probabilities = serve(image)["probabilities"].numpy()
    (directory / "predictions").mkdir()
    np.savez(directory / "predictions" / "test.npz", image=image, label=label, probabilities=probabilities)
    training = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    np.savez(directory / "predictions" / "train.npz", image=training, label=label)
    write_json(
        directory / "config.json",
        {
            "created": "2026-11-23T20:15:00+00:00",
            "architecture": "tiny",
            "options": {"data": "/home/somebody/noise.npz"},
            "dataset": {
                "name": "noise",
                "label_names": [f"class {number}" for number in range(classes)],
                "image_shape": list(shape),
                "image_dtype": "uint8",
                "train_count": 1,
                "test_count": count,
            },
            "versions": {},
            "git_commit": "0123abc",
        },
    )
    golden = [
        {"image": base64.b64encode(image[i].tobytes()).decode(), "label": int(label[i]), "probabilities": [0.0]}
        for i in range(3)
    ]
    reference: dict[str, Any] = {"golden": golden}
    if ending in ("softmax", "calibrated"):
        mix = np.bincount(probabilities.argmax(1), minlength=classes) / count
        reference["class_mix"] = {f"class {number}": share for number, share in enumerate(mix.tolist())}
        reference["confidence"] = {"mean": float(probabilities.max(1).mean()), "std": 0.0, "quantiles": {}}
    write_json(directory / "reference.json", reference)
    write_json(directory / "metrics.json", {"test_accuracy": float((probabilities.argmax(1) == label).mean())})
    return directory


def write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))


@pytest.fixture(scope="session")
def export() -> Export:
    """`python -m export` with these arguments, in this process."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def make_run() -> MakeRun:
    """`write_run`, for a run of one's own."""
    return write_run


@pytest.fixture(scope="session")
def grey_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 x 28 grey images of 10 classes; 300 of them leave a ragged batch of 44."""
    return write_run(tmp_path_factory.mktemp("grey") / "20261123-201500-tiny-noise", GREY, 10, 300)


@pytest.fixture(scope="session")
def recorded(grey_run: Path) -> dict[str, npt.NDArray[Any]]:
    """The grey run's images, labels and probabilities."""
    with np.load(grey_run / "predictions" / "test.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def colour_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 x 16 colour images of 3 classes."""
    return write_run(tmp_path_factory.mktemp("colour") / "20261123-201600-tiny-noise", COLOUR, 3, 40)


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grey run's architecture with other weights."""
    return write_run(tmp_path_factory.mktemp("other") / "20261123-201700-tiny-noise", GREY, 10, 20, seed=2)


@pytest.fixture
def copied_run(grey_run: Path, tmp_path: Path) -> Path:
    """A copy of the grey run, to be damaged."""
    return Path(shutil.copytree(grey_run, tmp_path / "runs" / grey_run.name))
