"""Evaluation of a model on the test images: accuracy of each class, confusion, calibration, and their plots."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from training import figures, pictures
from training.calibration import Reliability, reliability
from training.dataset import Dataset, Images
from training.errors import ConfigurationError

BATCH = 1000
GOLDEN = 8
SAMPLES = 24
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

Probabilities = npt.NDArray[np.float32]
History = Mapping[str, Sequence[float]]
Measurements = Mapping[str, Sequence[Any]]


class Predictor(Protocol):
    """What can be evaluated: a model in training, and the exported graph alike."""

    def probabilities(self, images: Any) -> Any:
        """Probabilities (N, classes) of a batch of raw images (N, H, W, C)."""


def predict(model: Predictor, images: Images) -> Probabilities:
    """Probabilities (N, classes) for all images, in batches of which the last may be smaller."""
    return in_batches(model.probabilities, images)


def in_batches(answer: Callable[[npt.NDArray[Any]], Any], items: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """What `answer` makes of all items, (N, classes), in batches of which the last may be smaller."""
    return np.concatenate([np.asarray(answer(items[i : i + BATCH])) for i in range(0, len(items), BATCH)])


def accuracy(probabilities: Probabilities, labels: npt.NDArray[np.int64]) -> float:
    """The fraction of images whose most probable class is their label."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def losses(probabilities: Probabilities, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each image's negative log-likelihood in nats, (N,); a probability of 0 counts as the smallest normal float32."""
    true = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(true, np.finfo(np.float32).tiny).astype(np.float64))


class Evaluate:
    """A model, the data set it is judged on and, where known, what was seen of it; predicts once, when first asked.

    `history` has one value per epoch, `measurements` what `training.measure` registers, for the epochs it names.
    """

    def __init__(
        self,
        model: Predictor,
        data: Dataset,
        history: History | None = None,
        measurements: Measurements | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.history = history
        self.measurements = measurements
        self._probabilities: Probabilities | None = None

    def predict(self) -> Probabilities:
        """Probabilities (N, classes), float32, for the test images in their order."""
        if self._probabilities is None:
            self._probabilities = predict(self.model, self.data.test.images)
        return self._probabilities

    def get_accuracy(self) -> float:
        """The fraction of the test images that is right."""
        return accuracy(self.predict(), self.data.test.labels)

    def get_per_class_accuracy(self) -> dict[str, float | None]:
        """For each label the fraction of its test images that is right; None where the test has none."""
        matrix = self.get_confusion_matrix()
        counts = matrix.sum(axis=1)
        return {
            name: float(matrix[c, c] / counts[c]) if counts[c] else None for c, name in enumerate(self.data.label_names)
        }

    def get_confusion_matrix(self) -> npt.NDArray[np.int64]:
        """Counts of test images (classes, classes): row is the true class, column the predicted one."""
        classes = len(self.data.label_names)
        cells = self.data.test.labels * classes + np.argmax(self.predict(), axis=1)
        return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)

    def get_reliability(self) -> Reliability:
        """How often the test images' predictions are right, by how sure they are; its `ece` is the error's mean."""
        return reliability(self.predict(), self.data.test.labels)

    def get_log_loss(self) -> float:
        """The mean loss of the test images, in nats an image."""
        return float(losses(self.predict(), self.data.test.labels).mean())

    def get_hardest(self, count: int = SAMPLES) -> npt.NDArray[np.int64]:
        """Indices of the test images with the highest loss, hardest first; of equals the surer, then the earlier."""
        probabilities, labels = self.predict(), self.data.test.labels
        order = np.lexsort((-probabilities.max(axis=1), probabilities[np.arange(len(labels)), labels]))
        return order[:count].astype(np.int64)

    def describe_hardest(self, count: int = SAMPLES) -> list[dict[str, Any]]:
        """For JSON, hardest first: index, label, the predicted class with its probability, and the loss in nats."""
        probabilities, labels = self.predict(), self.data.test.labels
        loss = losses(probabilities, labels)
        return [
            {
                "index": int(i),
                "label": int(labels[i]),
                "predicted": int(np.argmax(probabilities[i])),
                "probability": float(probabilities[i].max()),
                "loss": float(loss[i]),
            }
            for i in self.get_hardest(count)
        ]

    def plot_per_class_accuracy(self) -> Figure:
        """A bar for each class."""
        return figures.per_class_accuracy(self.get_per_class_accuracy(), self.get_accuracy())

    def plot_confusion_matrix(self) -> Figure:
        """The confusion matrix, coloured by the share of the true class."""
        return figures.confusion(self.get_confusion_matrix(), self.data.label_names)

    def plot_train_and_test_accuracy_evolution(self) -> Figure:
        """Train, validation and test accuracy over the epochs.

        Raises: ConfigurationError when this was made without a history.
        """
        if self.history is None:
            raise ConfigurationError("the evolution of accuracy needs the history of a training")
        return figures.accuracy_evolution(self.history)

    def plot_per_class_accuracy_evolution(self) -> Figure:
        """Each class's accuracy over the measured epochs.

        Raises: ConfigurationError when this was made without measurements of it.
        """
        measured = self.measurements or {}
        if not measured.get("per_class_accuracy"):
            raise ConfigurationError("the evolution of each class's accuracy needs the measurements of a training")
        return figures.per_class_evolution(measured["epoch"], measured["per_class_accuracy"], self.data.label_names)

    def plot_reliability(self) -> Figure:
        """Accuracy against confidence."""
        return figures.reliability({"": self.get_reliability()})

    def plot_predictions(self) -> Figure:
        """The first test images with what was predicted for them."""
        return self._plot_images(np.arange(min(SAMPLES, len(self.data.test))), "Predictions for test images")

    def plot_hardest(self) -> Figure:
        """The test images with the highest loss, hardest first."""
        hardest = self.get_hardest()
        loss = losses(self.predict(), self.data.test.labels)
        notes = [f"image {i}, loss {loss[i]:.2f}" for i in hardest]
        return self._plot_images(hardest, "Hardest test images, highest loss first", notes)

    def _plot_images(self, indices: npt.NDArray[np.int64], title: str, notes: Sequence[str] = ()) -> Figure:
        test = self.data.test.take(indices)
        names = self.data.label_names
        return pictures.predictions(test.images, test.labels, self.predict()[indices], names, title, notes)


def reference(data: Dataset, probabilities: Probabilities) -> dict[str, Any]:
    """What the predictions for the test images look like, for whoever has to notice later that they changed."""
    classes = np.argmax(probabilities, axis=1)
    mix = np.bincount(classes, minlength=len(data.label_names)) / len(classes)
    confidence = probabilities.max(axis=1).astype(np.float64)
    return {
        "class_mix": dict(zip(data.label_names, mix.tolist(), strict=True)),
        "confidence": {
            "mean": float(confidence.mean()),
            "std": float(confidence.std()),
            "quantiles": {str(q): float(np.quantile(confidence, q)) for q in QUANTILES},
        },
        "golden": [_golden(data, probabilities, i) for i in _golden_indices(classes)],
    }


def _golden_indices(classes: npt.NDArray[np.int64]) -> list[int]:
    """The first image of each predicted class, filled up with the first others, at most `GOLDEN`, in test order."""
    first = np.sort(np.unique(classes, return_index=True)[1])
    others = np.setdiff1d(np.arange(min(len(classes), 2 * GOLDEN)), first)
    return sorted(int(i) for i in np.concatenate([first, others])[:GOLDEN])


def _golden(data: Dataset, probabilities: Probabilities, index: int) -> dict[str, Any]:
    return {
        "image": base64.b64encode(data.test.images[index].tobytes()).decode("ascii"),
        "label": int(data.test.labels[index]),
        "probabilities": [float(p) for p in probabilities[index]],
    }
