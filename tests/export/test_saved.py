"""`python -m export` of a SavedModel that no run of ours made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result

from edge.model import load_model
from tests.export.conftest import COLOUR, build, save

Export = Callable[..., Result]
Arrays = dict[str, npt.NDArray[Any]]

RANGES = {"0..1": (1 / 255, 0.0), "0..255": (1.0, 0.0), "-1..1": (2 / 255, -1.0)}


@pytest.fixture(scope="module")
def keras_model() -> Any:
    """A colour model of 3 classes that knows nothing of this project: float32 in, logits out."""
    return build(COLOUR, 3, seed=3)


@pytest.fixture(scope="module")
def given(keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model as Keras exports it, labels, and images labelled by the model on pixels from 0 to 1."""
    folder = tmp_path_factory.mktemp("given")
    keras_model.export(str(folder / "colours"), verbose=False)
    image = np.random.default_rng(1).integers(0, 256, (40, *COLOUR), np.uint8)
    label = keras_model.predict(image.astype(np.float32) / 255, verbose=0).argmax(1)
    # One of them is wrong, on purpose.
    label[0] = (label[0] + 1) % 3
    np.savez(folder / "test.npz", image=image, label=label)
    (folder / "labels.txt").write_text("red\ngreen\nbright blue\n")
    return folder


def described(folder: Path, *options: object) -> list[object]:
    return ["--labels", folder / "labels.txt", "--data", folder / "test.npz", "-o", folder / "model.onnx", *options]


@pytest.mark.parametrize("pixels", RANGES)
def test_keras_export_with_logits(export: Export, keras_model: Any, given: Path, pixels: str) -> None:
    result = export(given / "colours", *described(given, "--pixels", pixels, "--logits"))
    assert result.exit_code == 0, result.output
    model = load_model(given / "model.onnx")
    with np.load(given / "test.npz") as archive:
        image, label = archive["image"], archive["label"]
    scale, offset = RANGES[pixels]
    logits = keras_model.predict(image.astype(np.float32) * scale + offset, verbose=0).astype(np.float64)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(model.infer(image), powers / powers.sum(1, keepdims=True), atol=1e-5)

    contract = model.contract
    assert (contract.name, contract.run, contract.dataset) == ("colours", "", "test.npz")
    assert (contract.dtype, contract.shape, contract.layout) == ("uint8", COLOUR, "HWC")
    assert contract.labels == ("red", "green", "bright blue")
    assert contract.test_accuracy == (logits.argmax(1) == label).mean()
    assert len(contract.golden) == 5
    assert contract.reference is None
    report = json.loads((given / "model.parity.json").read_text())
    assert report["passed"] is True
    assert report["recorded_agreement"] is None
    if pixels == "0..1":
        assert contract.test_accuracy == 39 / 40


def test_same_bytes_each_time(export: Export, given: Path) -> None:
    written = []
    for _ in range(2):
        assert export(given / "colours", *described(given, "--pixels", "0..1", "--logits")).exit_code == 0
        written.append((given / "model.onnx").read_bytes())
    assert written[0] == written[1]


def test_bytes_and_probabilities_are_taken_as_they_are(
    export: Export, keras_model: Any, given: Path, tmp_path: Path
) -> None:
    served = save(keras_model, tmp_path / "served", COLOUR)
    result = export(tmp_path / "served", *described(given))
    assert result.exit_code == 0, result.output
    with np.load(given / "test.npz") as archive:
        image = archive["image"]
    model = load_model(given / "model.onnx")
    np.testing.assert_allclose(model.infer(image), served(image)["probabilities"].numpy(), atol=1e-5)


def test_int8_is_calibrated_on_images_that_are_named(
    export: Export, keras_model: Any, given: Path, tmp_path: Path
) -> None:
    arguments = described(given, "--pixels", "0..1", "--logits", "--precision", "int8", "--max-accuracy-loss", 0.2)
    result = export(given / "colours", *arguments)
    assert result.exit_code == 2
    assert "needs --calibration" in result.stderr
    training = tmp_path / "training.npz"
    image = np.random.default_rng(2).integers(0, 256, (60, *COLOUR), np.uint8)
    np.savez(training, image=image, label=np.zeros(60, np.int64))
    result = export(given / "colours", *arguments, "--calibration", training)
    assert result.exit_code == 0, result.output
    assert "calibrating on 60 training images" in result.stderr
    assert load_model(given / "model.onnx").contract.precision == "int8"


def refused(export: Export, given: Path, *arguments: object) -> Result:
    """What export says to these arguments, having written nothing."""
    (given / "model.onnx").unlink(missing_ok=True)
    result = export(*arguments)
    assert not (given / "model.onnx").exists()
    return result


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 65, "takes images of float32: say with --pixels which range it knows: 0..255, 0..1, -1..1"),
        (("--pixels", "0..1"), 78, "which are no probabilities that sum to 1: its signature must end in a softmax"),
        (("--pixels", "0..1", "--calibration", "labels.txt"), 2, "needs --calibration, and nothing else does"),
    ],
)
def test_what_is_not_said(
    export: Export, given: Path, options: tuple[str, ...], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(given)
    result = refused(export, given, given / "colours", *described(given, *options))
    assert (result.exit_code, message in result.stderr) == (code, True), result.output


def test_description_is_for_saved_models_and_they_need_one(export: Export, given: Path, grey_run: Path) -> None:
    result = refused(export, given, given / "colours", "-o", given / "model.onnx")
    assert result.exit_code == 2
    assert "is a SavedModel: it needs --labels and --data" in result.stderr
    result = refused(export, given, grey_run, *described(given))
    assert result.exit_code == 2
    assert "is no SavedModel" in result.stderr


def test_range_of_pixels_for_a_model_that_takes_bytes(
    export: Export, keras_model: Any, given: Path, tmp_path: Path
) -> None:
    save(keras_model, tmp_path / "served", COLOUR)
    result = refused(export, given, tmp_path / "served", *described(given, "--pixels", "0..1"))
    assert result.exit_code == 65
    assert "takes images of uint8: leave --pixels out" in result.stderr


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("red\ngreen\n", "knows 3 classes, but --labels names 2 label names"),
        ("red\n\nblue\n", "line 2 is empty; each line is the name of one class"),
        ("red\nblue\nred\n", "line 3 repeats 'red'"),
        ("", "labels.txt is empty"),
        (b"r\xe9d\ngreen\nblue\n", "cannot be read as text in UTF-8"),
    ],
)
def test_labels_that_do_not_fit(export: Export, given: Path, labels: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(labels if isinstance(labels, bytes) else labels.encode())
    options = described(given, "--pixels", "0..1", "--logits", "--labels", tmp_path / "labels.txt")
    result = refused(export, given, given / "colours", *options)
    assert result.exit_code == 65
    assert message in result.stderr


def test_images_that_do_not_fit(export: Export, given: Path, grey_run: Path) -> None:
    options = described(given, "--pixels", "0..1", "--logits", "--data", grey_run / "predictions" / "test.npz")
    result = refused(export, given, given / "colours", *options)
    assert result.exit_code == 65
    assert "holds images of uint8 [28, 28, 1]; the model needs uint8 [16, 16, 3]" in result.stderr


@pytest.mark.parametrize("specification", [([1, 16, 16, 3], "float32"), ([None, None, None, 3], "float32")])
def test_signature_of_a_fixed_batch_or_of_any_size(
    export: Export, given: Path, specification: tuple[list[int | None], str], tmp_path: Path
) -> None:
    import tensorflow as tf  # noqa: PLC0415

    def serve(image: Any) -> Any:
        return tf.nn.softmax(tf.reduce_mean(image, (1, 2)))

    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[tf.TensorSpec(*specification)])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures={"serving_default": module.serve})
    result = refused(export, given, tmp_path / "other", *described(given, "--pixels", "0..1"))
    assert result.exit_code == 65
    assert "must take uint8 or float32 images [any number, height, width, …]" in result.stderr


def test_no_signature_to_serve(export: Export, given: Path, tmp_path: Path) -> None:
    import tensorflow as tf  # noqa: PLC0415

    module = tf.Module()
    module.add = tf.function(lambda x: {"y": x + 1}, input_signature=[tf.TensorSpec([None], "float32")])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures={"add": module.add})
    result = refused(export, given, tmp_path / "other", *described(given))
    assert result.exit_code == 65
    assert "has no signature 'serving_default'; it has 'add'" in result.stderr
