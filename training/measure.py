"""What is measured between epochs besides loss and accuracy: functions of an `Evaluate`, registered by name.

@metric("worst_class")
def worst_class(evaluation):
    return min(a for a in evaluation.get_per_class_accuracy().values() if a is not None)
"""

from collections.abc import Callable, Sequence

from training.evaluate import Evaluate

Measured = float | Sequence[float | None] | None
Metric = Callable[[Evaluate], Measured]

METRICS: dict[str, Metric] = {}
"""What `callbacks.Metrics` writes to `history/measurements.json`."""


def metric(name: str) -> Callable[[Metric], Metric]:
    """Register a function under `name`: a number, or a list of numbers, for an `Evaluate`; None where there is none.

    Raises: ValueError for a name that is taken.
    """

    def register(function: Metric) -> Metric:
        if name in METRICS or name == "epoch":
            raise ValueError(f"a metric named {name!r} is registered already")
        METRICS[name] = function
        return function

    return register


@metric("log_loss")
def log_loss(evaluation: Evaluate) -> float:
    """The mean loss of the test images in nats."""
    return evaluation.get_log_loss()


@metric("ece")
def expected_calibration_error(evaluation: Evaluate) -> float:
    """How far confidence lies from accuracy, without any temperature."""
    return evaluation.get_reliability().ece


@metric("per_class_accuracy")
def per_class_accuracy(evaluation: Evaluate) -> Sequence[float | None]:
    """In the order of the labels."""
    return list(evaluation.get_per_class_accuracy().values())
