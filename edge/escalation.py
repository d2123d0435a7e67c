"""Requests of whose answer the model is unsure go to another topic, too: `--escalate-below` of the classifier."""

import json
import logging
from collections.abc import Sequence

from edge.codec import REQUEST_ID, Request
from edge.hooks import Answers, Served
from edge.letter import record_bytes
from edge.logs import place
from edge.records import Encoded

log = logging.getLogger(__name__)

FIRST_PREDICTION = "first-prediction"
"""Header of a copy: the prediction that was unsure, as JSON with the names that predictions use."""


class Escalation:
    """Copies requests that were answered with less than the confidence `below` to `topic`, for a larger model.

    A copy has the request's key, value and headers, and behind these FIRST_PREDICTION, and the id of a request that
    names none. One that would exceed `max_bytes` is not written, which is counted and told: a broker that refuses one
    record makes a producer useless for all others.
    """

    def __init__(self, below: float, topic: str, max_bytes: int) -> None:
        self.copied = 0
        self.too_large = 0
        self._below = below
        self._topic = topic
        self._max_bytes = max_bytes

    def emit(self, answers: Answers) -> Sequence[tuple[str, Sequence[Encoded]]]:
        """The copies of those requests of a batch that need one."""
        copies = [
            copy
            for request, number, confidence in zip(answers.requests, answers.classes, answers.confidences, strict=True)
            if confidence < self._below and (copy := self._copy(answers.served, request, number, confidence))
        ]
        self.copied += len(copies)
        return [(self._topic, copies)] if copies else ()

    @property
    def summary(self) -> str:
        """For the log."""
        refused = f", {self.too_large} too large for that" if self.too_large else ""
        return f"{self.copied} requests escalated{refused}"

    def _copy(self, served: Served, request: Request, number: int, confidence: float) -> Encoded | None:
        key, value, headers = request.record.key, request.record.value, list(request.record.headers)
        if all(name != REQUEST_ID for name, _ in headers):
            # By its place in the other topic nobody could tell what it is a copy of.
            headers.append((REQUEST_ID, request.id.encode()))
        model = served.model
        first = {
            "class": number,
            "label": model.contract.labels[number],
            "confidence": round(confidence, 6),
            "model": model.contract.name,
            "sha256": model.sha256,
        }
        headers.append((FIRST_PREDICTION, json.dumps(first, ensure_ascii=False).encode()))
        if (size := record_bytes(key, value, headers)) > self._max_bytes:
            self.too_large += 1
            if self.too_large == 1:
                where = place(request.record)
                told = (
                    "%s-%d offset %d is answered but not escalated, since its copy would have %d bytes; the first one"
                )
                log.warning(told, *where.values(), size, extra=where)
            return None
        return Encoded(key, value, headers)
