"""Where options plug into the classifier's loop: at *admit*, *model*, *emit* and *observe*, a file for each option."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

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


class Answers(NamedTuple):
    """The predictions of one batch: who made them, and of which requests, all in the same order."""

    served: Served
    requests: Sequence[Request]
    classes: Sequence[int]
    confidences: Sequence[float]
    timing: Timing


class Observer:
    """What is told of the loop, on its thread; by itself it heeds nothing."""

    def loaded(self, served: Served) -> None:
        """A model is warm, and answers what is read from now on; it may be told again of the same."""

    def connected(self, source: Source, delivery: Delivery) -> None:
        """The loop is about to begin."""

    def turned(self) -> None:
        """The loop has come round, with or without records."""

    def rejected(self, record: Record, error: BadRequestError) -> None:
        """A record goes to the dead letters."""

    def answered(self, answers: Answers) -> None:
        """Predictions are being written."""


def _admit(_: Record) -> None:
    """Let every record in."""


Emit = Callable[[Answers], Sequence[tuple[str, Sequence[Encoded]]]]


def _emit(_: Answers) -> Sequence[tuple[str, Sequence[Encoded]]]:
    """Write nothing but the predictions."""
    return ()


@dataclass(frozen=True)
class Hooks:
    """What the loop asks and tells.

    `model` is asked once a turn. `admit` raises BadRequestError for a record that is not to be answered. `emit` says
    what is written beside a batch's predictions: topics, with records for each.
    """

    model: Callable[[], Served]
    admit: Callable[[Record], None] = _admit
    emit: Emit = _emit
    observer: Observer = field(default_factory=Observer)


class Counting(Protocol):
    """A plug with something to say when the classifier stops."""

    @property
    def summary(self) -> str:
        """A few words."""


def plugged(
    hooks: Hooks, max_age_s: float | None, escalate_below: float | None, escalate_topic: str, max_bytes: int
) -> tuple[Hooks, Sequence[Counting]]:
    """The hooks, with what a classifier's options plug in; the file of each is imported only when it is asked for."""
    counting = list[Counting]()
    if max_age_s is not None:
        from edge.freshness import Freshness  # noqa: PLC0415

        counting.append(freshness := Freshness(max_age_s))
        hooks = replace(hooks, admit=freshness.admit)
    if escalate_below is not None:
        from edge.escalation import Escalation  # noqa: PLC0415

        counting.append(escalation := Escalation(escalate_below, escalate_topic, max_bytes))
        hooks = replace(hooks, emit=escalation.emit)
    return hooks, counting
