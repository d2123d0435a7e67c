"""Logs where each of the classifier's requests went, at DEBUG (-v), as `tracing` does for the other apps."""

import logging

from edge.codec import REQUEST_ID, default_id, header
from edge.delivery import Delivery
from edge.errors import BadRequestError
from edge.hooks import Answers, Observer, Served
from edge.logs import printable
from edge.records import Record, Source
from edge.tracing import about, log


def traced(observer: Observer) -> Observer:
    """The observer itself, unless DEBUG is on: then one that logs each request and tells the other."""
    return _Traced(observer) if log.isEnabledFor(logging.DEBUG) else observer


class _Traced(Observer):
    """Logs where each of the classifier's requests went."""

    def __init__(self, inner: Observer) -> None:
        self._inner = inner

    def loaded(self, served: Served) -> None:
        self._inner.loaded(served)

    def connected(self, source: Source, delivery: Delivery) -> None:
        self._inner.connected(source, delivery)

    def turned(self) -> None:
        self._inner.turned()

    def rejected(self, record: Record, error: BadRequestError) -> None:
        name = header(record, REQUEST_ID) or default_id(record)
        log.debug("rejected %s: %s", printable(name), error, extra=about(name, record))
        self._inner.rejected(record, error)

    def answered(self, answers: Answers) -> None:
        for request, number, confidence in zip(answers.requests, answers.classes, answers.confidences, strict=True):
            extra = about(request.id, request.record)
            log.debug("answered %s: class %d, %.1f %%", printable(request.id), number, confidence * 100, extra=extra)
        self._inner.answered(answers)
