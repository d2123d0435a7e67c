"""How long an answer took, stage by stage, from what the headers and the prediction say."""

from dataclasses import dataclass

from edge.codec import CREATED_NS, RECEIVED_NS, SENT_NS, header
from viewer.joined import Answer

STAGES = ("to_classifier", "queue", "infer", "send", "to_viewer")
"""created → received, → taken into a batch, → predicted, → sent, → read here."""

MAX_MS = 1e9
"""Whatever a header or a prediction claims, no stage counts as longer."""

_NS_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Timing:
    """Stages in milliseconds, None where a header is missing; `total_ms` is created → sent.

    Stages between two machines are off, and may be negative, by as much as their clocks are apart.
    """

    to_classifier: float | None
    queue: float
    infer: float
    send: float | None
    to_viewer: float | None
    total_ms: float | None


def timing(answer: Answer) -> Timing:
    """The stages of one answer."""
    created, received, sent = (_ns(header(answer.record, name)) for name in (CREATED_NS, RECEIVED_NS, SENT_NS))
    queue, infer = _bounded(answer.prediction.queue_ms), _bounded(answer.prediction.infer_ms)
    inside = _between(received, sent)
    return Timing(
        to_classifier=_between(created, received),
        queue=queue,
        infer=infer,
        send=None if inside is None else max(0.0, inside - queue - infer),
        to_viewer=_between(sent, answer.seen_ns),
        total_ms=_between(created, sent),
    )


def _ns(text: str | None) -> int | None:
    is_time = text is not None and text.isascii() and text.isdecimal() and len(text) <= _NS_DIGITS
    return int(text or "") if is_time else None


def _between(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else _bounded((end - start) / 1e6)


def _bounded(took_ms: float) -> float:
    return min(MAX_MS, max(-MAX_MS, took_ms))
