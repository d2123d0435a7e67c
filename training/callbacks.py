"""What happens between epochs: metrics written to disk, the best model kept, figures drawn, TensorBoard told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import tensorflow as tf

from training import measure, runs, visualise
from training.dataset import Dataset
from training.evaluate import Evaluate


class Metrics(tf.keras.callbacks.Callback):
    """Adds the test accuracy to each epoch's logs and writes the whole history after each epoch.

    After every `every` epochs it also writes what `measure.METRICS` say. All of it is only looked at: nothing is ever
    chosen by it.
    """

    def __init__(self, run: runs.Run, data: Dataset, every: int = 1) -> None:
        super().__init__()
        self.run = run
        self.data = data
        self.every = every
        self.history: dict[str, list[float]] = {"epoch": []}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch; a crash loses at most the epoch it happens in."""
        values = logs if logs is not None else {}
        evaluation = Evaluate(self.model, self.data)
        values["test_accuracy"] = evaluation.get_accuracy()
        self.history["epoch"].append(epoch + 1)
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))
        runs.write_json(self.run.history, {name: _plain(column) for name, column in self.history.items()})
        if (epoch + 1) % self.every == 0:
            measured = {name: measure_it(evaluation) for name, measure_it in measure.METRICS.items()}
            _append(self.run.measurements, epoch + 1, measured)


def _append(path: Path, epoch: int, values: Mapping[str, Any]) -> None:
    """Write the lists in `path` with one more value each; those of `epoch` or later, if any, are of another try."""
    known = runs.read_json(path) if path.is_file() else {}
    earlier = sum(e < epoch for e in known.get("epoch", []))
    added = {"epoch": epoch, **{name: _plain(value) for name, value in values.items()}}
    # A metric that is new, or gone, has no value in the other epochs.
    lists = {name: (known.get(name, []) + [None] * earlier)[:earlier] for name in {**known, **added}}
    runs.write_json(path, {name: [*before, added.get(name)] for name, before in lists.items()})


def _plain(value: Any) -> Any:
    """A number or a sequence of them as JSON knows it, None for what is not finite."""
    if value is None or np.ndim(value):
        return value if value is None else [_plain(v) for v in value]
    if not np.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)


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


class Visualise(tf.keras.callbacks.Callback):
    """Draws what `visualise` registers after every `every` epochs, as `figures/epoch-0005-confusion.png`.

    What a model has nothing to show for is said once, and left out.
    """

    def __init__(self, run: runs.Run, data: Dataset, every: int) -> None:
        super().__init__()
        self.run = run
        self.data = data
        self.every = every
        self.left_out: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw, when it is time."""
        if (epoch + 1) % self.every:
            return
        known = (runs.read_json(p) if p.is_file() else None for p in (self.run.history, self.run.measurements))
        evaluation = Evaluate(self.model, self.data, *known)
        for name, draw in visualise.VISUALISATIONS.items():
            try:
                figure = draw(evaluation)
            except visualise.NothingToDrawError as reason:
                self._leave_out(name, reason)
            else:
                runs.write_figure(self.run.figures / f"epoch-{epoch + 1:04d}-{name}.png", figure)

    def _leave_out(self, name: str, reason: Exception) -> None:
        if name not in self.left_out:
            click.echo(f"No figure of {name}: {reason}.", err=True)
        self.left_out.add(name)


class Summaries(tf.keras.callbacks.Callback):
    """Writes each epoch's logs and learning rate for TensorBoard; stands behind whoever adds to the logs.

    A training that goes on adds another file, of which TensorBoard makes one curve with the first.
    """

    def __init__(self, run: runs.Run) -> None:
        super().__init__()
        self.run = run

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open a file of events."""
        self.writer = tf.summary.create_file_writer(str(self.run.logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch down, counted from 1 as everywhere."""
        values = {"learning_rate": self.model.optimizer.learning_rate, **(logs or {})}
        with self.writer.as_default(step=epoch + 1):
            for name, value in values.items():
                _write_scalar(name, value)
        self.writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the file."""
        self.writer.close()


def _write_scalar(name: str, value: Any) -> None:
    # tf.summary.scalar would do the same, but is there only with the package that shows what was written.
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")
    tf.summary.write(name, tf.cast(value, tf.float32), metadata=metadata)
