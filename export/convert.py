"""SavedModel to ONNX: one file of ONNX's own operators, raw pixels in, probabilities out, its contract inside."""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from edge.contract import METADATA_KEY, Contract, Golden
from edge.errors import BadDataError, BadModelError
from edge.model import load_model_bytes
from export.saved import is_saved_model
from export.simplify import simplify
from export.source import PIXELS, Source
from export.tidy import tidy

SIGNATURE = "serving_default"

ROUNDING = 1e-3
"""How far the sum of a model's probabilities may lie from 1."""


@contextmanager
def _silenced() -> Iterator[None]:
    """Hold back what C++ writes to stderr, and show it after all if the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


# TensorFlow heeds its log level only after it has announced itself, hence the held-back stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _silenced():
    import tensorflow as tf
    import tf2onnx


@dataclass(frozen=True)
class SavedModel:
    """A loaded SavedModel's function: `image` uint8 [None, *shape] to probabilities float32 [None, classes].

    `loaded` keeps the variables alive, which the function refers to but does not own.
    """

    loaded: Any
    function: Any
    input_name: str
    output_name: str
    shape: tuple[int, ...]
    classes: int

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities [N, classes] from TensorFlow on the CPU."""
        outputs = self.function(**{self.input_name: tf.constant(images)})
        return np.asarray(outputs[self.output_name], np.float32)


def versions() -> dict[str, str]:
    """What took part in an export."""
    modules = {"tensorflow": tf, "tf2onnx": tf2onnx, "onnx": onnx, "onnxruntime": onnxruntime, "numpy": np}
    return {"python": platform.python_version()} | {name: module.__version__ for name, module in modules.items()}


def load_saved_model(source: Source) -> SavedModel:
    """Load a SavedModel on the CPU, where the gate compares; it takes raw pixels and gives probabilities.

    Raises: BadDataError for one that is missing, damaged, or has a signature that is not an image classifier's.
    """
    directory = source.saved_model
    if not is_saved_model(directory):
        raise BadDataError(f"there is no SavedModel in {directory}: train again with `python -m training`")
    # A GPU may round differently; refused only where a GPU is in use already, and then the gate judges.
    with suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    try:
        loaded = tf.saved_model.load(str(directory))
        signatures = dict(loaded.signatures)
    except Exception as error:  # a damaged file surfaces as anything from OSError to protobuf's own errors
        raise BadDataError(f"the SavedModel in {directory} cannot be loaded ({_first_line(error)})") from None
    if SIGNATURE not in signatures:
        known = ", ".join(map(repr, signatures)) or "none"
        raise BadDataError(f"the SavedModel in {directory} has no signature {SIGNATURE!r}; it has {known}")
    return _adapted(loaded, signatures[SIGNATURE], source)


def _adapted(loaded: Any, function: Any, source: Source) -> SavedModel:
    (input_name, image), (output_name, answer) = _signature(function, source.saved_model)
    takes_bytes, shape, classes = image.dtype == tf.uint8, tuple(image.shape[1:]), int(answer.shape[1])
    if takes_bytes == (source.pixels is not None):
        raise BadDataError(
            f"the SavedModel in {source.saved_model} takes images of {image.dtype.name}: "
            + ("leave --pixels out" if takes_bytes else f"say with --pixels which range it knows: {', '.join(PIXELS)}")
        )
    if takes_bytes and not source.is_logits:
        return SavedModel(loaded, function, input_name, output_name, shape, classes)
    low, high = PIXELS[source.pixels or "0..255"]

    def serve(image: Any) -> dict[str, Any]:
        # What changes nothing is left out of the graph.
        pixels = image if takes_bytes else tf.cast(image, tf.float32)
        pixels = pixels if high == 255 else pixels * ((high - low) / 255)
        output = function(**{input_name: pixels + low if low else pixels})[output_name]
        return {"probabilities": tf.nn.softmax(output) if source.is_logits else output}

    adapted = tf.function(serve, input_signature=[tf.TensorSpec([None, *shape], tf.uint8, name="image")])
    return SavedModel(loaded, adapted, "image", "probabilities", shape, classes)


def _signature(function: Any, directory: Path) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """The only input and the only output, each with its name."""
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    if len(inputs) == len(outputs) == 1:
        ((_, image),), ((_, answer),) = inputs.items(), outputs.items()
        is_image = image.dtype in (tf.uint8, tf.float32) and image.shape.rank and None not in image.shape[1:]
        is_answer = answer.dtype == tf.float32 and answer.shape.rank == 2 and answer.shape[1]
        if is_image and is_answer and image.shape[0] is None:
            return *inputs.items(), *outputs.items()
    raise BadDataError(
        f"the SavedModel in {directory} must take uint8 or float32 images [any number, height, width, …] and give "
        f"float32 probabilities [batch, classes]; it takes {list(inputs.values())} and gives {list(outputs.values())}"
    )


def describe(source: Source, model: SavedModel) -> Contract:
    """The contract of the source's model, as yet without golden inputs.

    `created` is the source's, so that the same model gives the same bytes, and with them the same SHA-256.
    Raises: BadDataError where model and source contradict one another.
    """
    shape = source.image_shape or model.shape
    if (model.shape, model.classes) != (shape, len(source.labels)):
        raise BadDataError(
            f"the SavedModel takes {list(model.shape)} and knows {model.classes} classes, but "
            + (f"the run's config.json says {list(shape)} and " if source.run else "--labels names ")
            + f"{len(source.labels)} label names"
        )
    return Contract(
        name=source.name,
        version=source.version,
        run=source.run,
        dataset=source.dataset,
        test_accuracy=source.test_accuracy,
        created=source.created,
        input_name=model.input_name,
        dtype="uint8",
        shape=model.shape,
        layout="HWC" if len(model.shape) == 3 else "",
        output_name=model.output_name,
        labels=source.labels,
        reference=source.reference,
    )


def to_onnx(model: SavedModel, name: str, opset: int) -> onnx.ModelProto:
    """Convert a SavedModel's signature, with a dynamic batch.

    Raises: BadModelError if TensorFlow's operators have no counterpart in ONNX.
    """

    def serve(image: Any) -> Any:
        return model.function(**{model.input_name: image})

    specification = tf.TensorSpec([None, *model.shape], tf.uint8, name=model.input_name)
    try:
        proto, _ = tf2onnx.convert.from_function(tf.function(serve, autograph=False), [specification], opset=opset)
    except Exception as error:  # tf2onnx raises whatever its rewriters meet
        raise BadModelError(f"tf2onnx cannot convert the model to opset {opset} ({_first_line(error)})") from None
    # tf2onnx appends the commit it was built from, or "None".
    proto.producer_version = tf2onnx.__version__
    return tidy(simplify(proto), name)


def embed(proto: onnx.ModelProto, contract: Contract) -> bytes:
    """The bytes of the model file, contract inside, golden inputs still as they are in `contract`.

    Raises: BadModelError if ONNX's checker refuses the graph.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # checker and shape inference have errors of their own, which share no root
        raise BadModelError(f"the converted model is not valid ONNX ({_first_line(error)})") from None
    return bytes(model.SerializeToString(deterministic=True))


def with_golden(proto: onnx.ModelProto, contract: Contract, images: npt.NDArray[np.uint8]) -> bytes:
    """The model file, with the ONNX model's own answers to `images` as golden outputs.

    A device checks with them that it computes as the exporting machine did; what lies between ONNX and
    TensorFlow is the gate's business. Raises: BadModelError as `embed` and `load_model_bytes` do.
    """
    model = load_model_bytes(embed(proto, contract), contract.name)
    # One at a time, as a quiet device does.
    golden = tuple(Golden(image, _probabilities(model.infer(image[np.newaxis])[0])) for image in images)
    return embed(proto, replace(contract, golden=golden))


def _probabilities(answer: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # Written so that a NaN fails, too.
    if not (answer.min() >= -ROUNDING and abs(answer.sum() - 1) <= ROUNDING):
        raise BadModelError(
            f"the model answers a golden input with {answer.tolist()}, which are no probabilities that sum to 1: "
            "its signature must end in a softmax; of a SavedModel that is no run's, --logits makes up for it"
        )
    # A softmax may exceed 1 by a rounding, which a contract may not.
    return np.clip(answer, 0, 1)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
