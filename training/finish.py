"""After the last epoch: the best one exported, judged and drawn; and how a saved run is judged again."""

from typing import TYPE_CHECKING, Any

import click
import tensorflow as tf

from training import (
    data,
    models,  # noqa: F401 - a `.keras` file names its class, which Keras knows only once it is imported
    runs,
    serving,
)
from training.dataset import Dataset
from training.errors import ConfigurationError
from training.evaluate import Evaluate, accuracy, predict, reference

if TYPE_CHECKING:
    from training.train import Parts


def finish(run: runs.Run, dataset: Dataset, parts: "Parts", best_epoch: int) -> None:
    """Export the best epoch and write what the exported graph predicts; `metrics.json` comes last."""
    click.echo("Evaluating the best epoch ...", err=True)
    serving.export_saved_model(load_model(run), dataset.image_shape, run.saved_model)
    evaluation = Evaluate(serving.Served(run.saved_model), dataset, runs.read_json(run.history))
    on_train = predict(evaluation.model, dataset.train.images)
    runs.write_predictions(run, "train", dataset, on_train)
    runs.write_predictions(run, "test", dataset, evaluation.predict())
    runs.write_json(run.reference, reference(dataset, evaluation.predict()))
    draw(run, evaluation)
    labels = dataset.train.labels
    metrics = {
        "best_epoch": best_epoch,
        "train_accuracy": accuracy(on_train[parts.fit], labels[parts.fit]),
        "validation_accuracy": accuracy(on_train[parts.validation], labels[parts.validation]),
        "test_accuracy": evaluation.get_accuracy(),
        "per_class_accuracy": evaluation.get_per_class_accuracy(),
        "confusion_matrix": evaluation.get_confusion_matrix().tolist(),
    }
    runs.write_json(run.metrics, metrics)


def draw(run: runs.Run, evaluation: Evaluate) -> None:
    """Write the figures of a finished training."""
    drawings = {
        "accuracy_evolution": evaluation.plot_train_and_test_accuracy_evolution,
        "per_class_accuracy": evaluation.plot_per_class_accuracy,
        "confusion_matrix": evaluation.plot_confusion_matrix,
        "predictions": evaluation.plot_predictions,
    }
    for name, plot in drawings.items():
        runs.write_figure(run.figures / f"{name}.png", plot())


def load_model(run: runs.Run) -> Any:
    """The best model of a run, as Keras saved it.

    Raises: ConfigurationError when the file is missing or damaged.
    """
    try:
        return tf.keras.models.load_model(run.best_model)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigurationError(f"cannot load {run.best_model}: {reason}") from error


def evaluate_saved(run: runs.Run, source: str | None = None) -> Evaluate:
    """Evaluate a run's best model on the run's own test images, or on those of `source`.

    Raises: ConfigurationError when the model and the data of `source` do not fit together.
    """
    dataset = runs.load_dataset(run)
    if source is not None:
        other = data.load(source, seed=runs.read_json(run.config)["options"]["seed"])
        if (other.image_shape, len(other.label_names)) != (dataset.image_shape, len(dataset.label_names)):
            raise ConfigurationError(
                f"{run.path.name} takes images {dataset.image_shape} of {len(dataset.label_names)} classes; "
                f"{source} has {other.image_shape} of {len(other.label_names)}"
            )
        dataset = other
    return Evaluate(load_model(run), dataset, runs.read_json(run.history))
