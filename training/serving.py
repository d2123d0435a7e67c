"""Export a trained model as a SavedModel that takes raw bytes and gives probabilities, and run it."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from training.errors import ConfigurationError


def export_saved_model(model: Any, image_shape: tuple[int, ...], directory: Path, temperature: float = 1.0) -> None:
    """Write `directory` with one signature, `serving_default`.

    It maps `image`, uint8 (None, H, W, C), to `probabilities`, float32 (None, classes).
    Scaling, temperature and softmax are inside the graph, so that nothing has to be kept in step on the device.
    """
    calibrated = Calibrated(model, temperature)

    def serve(image: Any) -> dict[str, Any]:
        return {"probabilities": calibrated.probabilities(image)}

    archive = tf.keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec([None, *image_shape], tf.uint8, name="image")]
    archive.add_endpoint("serve", serve, input_signature=signature)
    try:
        archive.write_out(str(directory), verbose=False)
    except tf.errors.OpError as error:
        reason = "the disk is full" if "No space left" in error.message else error.message
        raise ConfigurationError(f"cannot write {directory}: {reason}") from error


class Calibrated:
    """A Keras model that answers as the graph does which is exported of it with `temperature`."""

    def __init__(self, model: Any, temperature: float = 1.0) -> None:
        self.model = model
        self.temperature = temperature

    def logits(self, images: Any) -> Any:
        """Logits (N, classes), float32, for raw images uint8 (N, H, W, C); no temperature changes them."""
        return tf.cast(self.model(images, training=False), tf.float32)

    def probabilities(self, images: Any) -> Any:
        """Probabilities (N, classes), float32: softmax(logits / temperature)."""
        if self.temperature == 1:  # no step more for the device
            return self.model.probabilities(images)
        return tf.nn.softmax(self.logits(images) / self.temperature)


class Served:
    """An exported graph, to be evaluated like a model."""

    def __init__(self, directory: Path) -> None:
        self._loaded = tf.saved_model.load(str(directory))
        self._serve = self._loaded.signatures["serving_default"]

    def probabilities(self, images: Any) -> Any:
        """Probabilities (N, classes), float32, for raw images uint8 (N, H, W, C)."""
        return self._serve(image=tf.constant(images))["probabilities"]
