"""Where options plug into the classifier's loop: at *admit*, *model*, *emit* and *observe*, a file for each option."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.codec import PredictionEncoder, Request, Timing
from edge.delivery import Delivery
from edge.errors import BadRequestError
from edge.model import Model
from edge.records import Encoded, Record, Source


class Served:
    """A model, with what writes its predictions."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.encoder = PredictionEncoder(model.contract, model.sha256)


class Observer:
    """What is told of the loop, on its thread; by itself it heeds nothing."""

    def loaded(self, served: Served) -> None:
        """A model is warm; the cluster comes next."""

    def connected(self, source: Source, delivery: Delivery) -> None:
        """The loop is about to begin."""

    def turned(self) -> None:
        """The loop has come round, with or without records."""

    def rejected(self, record: Record, error: BadRequestError) -> None:
        """A record goes to the dead letters."""

    def answered(
        self,
        served: Served,
        requests: Sequence[Request],
        classes: Sequence[int],
        confidences: Sequence[float],
        timing: Timing,
    ) -> None:
        """Predictions of one batch, which this model made, are being written."""


def _admit(_: Record) -> None:
    """Let every record in."""


def _emit(_: Sequence[Request], __: Sequence[float]) -> Sequence[tuple[str, Sequence[Encoded]]]:
    """Write nothing but the predictions."""
    return ()


@dataclass(frozen=True)
class Hooks:
    """What the loop asks and tells.

    `model` is asked once a batch. `admit` raises BadRequestError for a record that is not to be answered. `emit` says
    what is written beside the predictions of these requests, of these confidences: topics, with records for each.
    """

    model: Callable[[], Served]
    admit: Callable[[Record], None] = _admit
    emit: Callable[[Sequence[Request], Sequence[float]], Sequence[tuple[str, Sequence[Encoded]]]] = _emit
    observer: Observer = field(default_factory=Observer)
