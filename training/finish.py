"""After the last epoch: the best one exported, judged and drawn; and how a saved run is judged again."""

from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training import (
    calibration,
    data,
    figures,
    models,  # noqa: F401 - a `.keras` file names its class, which Keras knows only once it is imported
    runs,
    serving,
)
from training.dataset import Dataset, Split
from training.errors import ConfigurationError
from training.evaluate import Evaluate, Probabilities, accuracy, in_batches, predict, reference

if TYPE_CHECKING:
    from training.train import Parts

Indices = npt.NDArray[np.int64]


def finish(run: runs.Run, dataset: Dataset, parts: "Parts", best_epoch: int, calibrate: bool = True) -> None:
    """Export the best epoch and write what the exported graph predicts; `metrics.json` comes last.

    With `calibrate` the graph divides its logits by the temperature that fits the validation images best.
    """
    click.echo("Evaluating the best epoch ...", err=True)
    model = serving.Calibrated(load_model(run))
    temperature = find_temperature(model, dataset.train, parts.validation, calibrate)
    serving.export_saved_model(model.model, dataset.image_shape, run.saved_model, temperature.value)
    evaluation = Evaluate(serving.Served(run.saved_model), dataset, *recorded(run))
    on_train = predict(evaluation.model, dataset.train.images)
    write_predictions(run, evaluation, on_train)
    draw(run, evaluation)
    # At temperature 1 the graph is the model.
    before = (evaluation if temperature.value == 1 else Evaluate(model, dataset)).get_reliability()
    draw_reliability(run, temperature, before, evaluation.get_reliability())
    labels = dataset.train.labels
    metrics = {
        "best_epoch": best_epoch,
        "train_accuracy": accuracy(on_train[parts.fit], labels[parts.fit]),
        "validation_accuracy": accuracy(on_train[parts.validation], labels[parts.validation]),
        "test_accuracy": evaluation.get_accuracy(),
        "per_class_accuracy": evaluation.get_per_class_accuracy(),
        "confusion_matrix": evaluation.get_confusion_matrix().tolist(),
        "calibration": calibration.document(temperature, before, evaluation.get_reliability()),
    }
    runs.write_json(run.metrics, metrics)


def find_temperature(
    model: serving.Calibrated, examples: Split, validation: Indices, calibrate: bool
) -> calibration.Temperature:
    """The temperature for a model, by those images that are `validation`; 1 where it is not wanted or not possible."""
    # A batch of indices at a time: the images may be more than fit into memory.
    logits = in_batches(lambda part: model.logits(examples.images[part]), validation)
    labels = examples.labels[validation]
    if not calibrate:
        return calibration.keep(logits, labels, "calibration was switched off")
    return calibration.fit_temperature(logits, labels)


def write_predictions(run: runs.Run, evaluation: Evaluate, on_train: Probabilities) -> None:
    """Write what is predicted for every image, what that looks like, and which test images are hardest."""
    runs.write_predictions(run, "train", evaluation.data, on_train)
    runs.write_predictions(run, "test", evaluation.data, evaluation.predict())
    runs.write_json(run.reference, reference(evaluation.data, evaluation.predict()))
    runs.write_json(run.hardest, {"split": "test", "hardest": evaluation.describe_hardest()})


def draw(run: runs.Run, evaluation: Evaluate) -> None:
    """Write the figures of a finished training."""
    drawings = {
        "accuracy_evolution": evaluation.plot_train_and_test_accuracy_evolution,
        "per_class_accuracy": evaluation.plot_per_class_accuracy,
        "confusion_matrix": evaluation.plot_confusion_matrix,
        "predictions": evaluation.plot_predictions,
        "hardest": evaluation.plot_hardest,
    }
    if evaluation.measurements:
        drawings["per_class_accuracy_evolution"] = evaluation.plot_per_class_accuracy_evolution
    for name, plot in drawings.items():
        runs.write_figure(run.figures / f"{name}.png", plot())


def draw_reliability(
    run: runs.Run,
    temperature: calibration.Temperature,
    before: calibration.Reliability,
    after: calibration.Reliability,
) -> None:
    """Write the reliability diagram, with and without the temperature where there is one."""
    columns = {f"temperature {temperature.value:.3g}": after}
    if temperature.value != 1:
        columns = {"temperature 1 (as trained)": before, **columns}
    runs.write_figure(run.figures / "reliability.png", figures.reliability(columns))


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
    """Evaluate a run's best model, as its exported graph answers, on the run's test images or on those of `source`.

    Images that were streamed in the training are so here, too, from a file without a name beside the run.
    Raises: ConfigurationError when the model and the data of `source` do not fit together.
    """
    options = runs.read_json(run.config)["options"]
    folder = run.path.parent if options.get("stream") else None
    dataset = runs.load_dataset(run, folder)
    if source is not None:
        other = data.load(source, seed=options["seed"], folder=folder)
        if (other.image_shape, len(other.label_names)) != (dataset.image_shape, len(dataset.label_names)):
            raise ConfigurationError(
                f"{run.path.name} takes images {dataset.image_shape} of {len(dataset.label_names)} classes; "
                f"{source} has {other.image_shape} of {len(other.label_names)}"
            )
        _check_names(dataset, other, source)
        dataset = other
    calibrated = serving.Calibrated(load_model(run), exported_temperature(run))
    return Evaluate(calibrated, dataset, *recorded(run))


def _check_names(dataset: Dataset, other: Dataset, source: str) -> None:
    if not (dataset.is_named and other.is_named):
        return
    for number, (name, found) in enumerate(zip(dataset.label_names, other.label_names, strict=True)):
        if name != found:
            raise ConfigurationError(f"{source} calls class {number} {found!r}; the model calls it {name!r}")


def recorded(run: runs.Run) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A run's history and, where there are any, its measurements."""
    return runs.read_json(run.history), runs.read_json(run.measurements) if run.measurements.is_file() else None


def exported_temperature(run: runs.Run) -> float:
    """What the run's exported graph divides its logits by; runs that know no calibration divide by nothing."""
    return float(runs.read_json(run.metrics).get("calibration", {}).get("temperature", 1.0))
