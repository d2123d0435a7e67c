"""Export a trained model as a SavedModel that takes raw bytes and gives probabilities, and run it."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from training.errors import ConfigurationError


def export_saved_model(model: Any, image_shape: tuple[int, ...], directory: Path) -> None:
    """Write `directory` with one signature, `serving_default`.

    It maps `image`, uint8 (None, H, W, C), to `probabilities`, float32 (None, classes).
    Scaling and softmax are inside the graph, so that nothing has to be kept in step on the device.
    """

    def serve(image: Any) -> dict[str, Any]:
        return {"probabilities": model.probabilities(image)}

    archive = tf.keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec([None, *image_shape], tf.uint8, name="image")]
    archive.add_endpoint("serve", serve, input_signature=signature)
    try:
        archive.write_out(str(directory), verbose=False)
    except tf.errors.OpError as error:
        reason = "the disk is full" if "No space left" in error.message else error.message
        raise ConfigurationError(f"cannot write {directory}: {reason}") from error


class Served:
    """An exported graph, to be evaluated like a model."""

    def __init__(self, directory: Path) -> None:
        self._loaded = tf.saved_model.load(str(directory))
        self._serve = self._loaded.signatures["serving_default"]

    def probabilities(self, images: Any) -> Any:
        """Probabilities (N, classes), float32, for raw images uint8 (N, H, W, C)."""
        return self._serve(image=tf.constant(images))["probabilities"]
