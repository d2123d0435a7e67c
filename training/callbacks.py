"""What happens between epochs: metrics written to disk, the best model kept, figures drawn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from training import figures, runs
from training.dataset import Dataset
from training.evaluate import Evaluate


class Metrics(tf.keras.callbacks.Callback):
    """Adds the test accuracy to each epoch's logs and writes the whole history after each epoch.

    The test accuracy is only looked at: nothing is ever chosen by it.
    """

    def __init__(self, run: runs.Run, data: Dataset) -> None:
        super().__init__()
        self.run = run
        self.data = data
        self.history: dict[str, list[float]] = {"epoch": []}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch; a crash loses at most the epoch it happens in."""
        values = logs if logs is not None else {}
        values["test_accuracy"] = Evaluate(self.model, self.data).get_accuracy()
        self.history["epoch"].append(epoch + 1)
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))
        runs.write_json(self.run.history, _without_nan(self.history))


def _without_nan(history: dict[str, list[float]]) -> dict[str, list[float | None]]:
    return {name: [v if np.isfinite(v) else None for v in values] for name, values in history.items()}


class KeepBest(tf.keras.callbacks.Callback):
    """Saves the model whenever the validation accuracy rises; of equal epochs the first stays.

    With a `twin`, the same model in another precision, the twin is saved, with the model's weights.
    """

    def __init__(self, run: runs.Run, twin: Any | None = None) -> None:
        super().__init__()
        self.run = run
        self.twin = twin
        self.best_epoch = 0
        self.best = -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare, and save."""
        value = float((logs or {})["val_accuracy"])
        if value <= self.best:
            return
        self.best, self.best_epoch = value, epoch + 1
        if self.twin is not None:
            self.twin.set_weights(self.model.get_weights())
        with runs.replacing(self.run.best_model) as temporary:
            (self.model if self.twin is None else self.twin).save(temporary)


def first_layer_filters(evaluation: Evaluate) -> Figure:
    """The kernels of the model's first convolution."""
    layer = next(layer for layer in evaluation.model.layers if isinstance(layer, tf.keras.layers.Conv2D))  # type: ignore[attr-defined]
    return figures.filters(layer.kernel.numpy(), layer.name)


VISUALISATIONS: dict[str, Callable[[Evaluate], Figure]] = {
    "predictions": Evaluate.plot_predictions,
    "confusion": Evaluate.plot_confusion_matrix,
    "filters": first_layer_filters,
}
"""What `Visualise` draws; add a function of an `Evaluate` here to draw one more."""


class Visualise(tf.keras.callbacks.Callback):
    """Draws each of `VISUALISATIONS` after every `every` epochs, as `figures/epoch-0005-confusion.png`."""

    def __init__(self, run: runs.Run, data: Dataset, every: int) -> None:
        super().__init__()
        self.run = run
        self.data = data
        self.every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw, when it is time."""
        if (epoch + 1) % self.every:
            return
        evaluation = Evaluate(self.model, self.data)
        for name, draw in VISUALISATIONS.items():
            runs.write_figure(self.run.figures / f"epoch-{epoch + 1:04d}-{name}.png", draw(evaluation))
