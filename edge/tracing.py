"""Follows each request through the apps' logs by its id: a line for it in each app at DEBUG (-v), and no cost without.

The lines have the fields `id`, `topic`, `partition`, `offset` and, when the request has one, `traceparent` (W3C Trace
Context), which --log-json shows.
"""

import logging
import secrets
from collections.abc import Sequence

from edge.codec import REQUEST_ID, TRACEPARENT, Request, Timing, default_id, header
from edge.delivery import Delivery
from edge.errors import BadRequestError
from edge.hooks import Observer, Served
from edge.logs import place, printable
from edge.records import Headers, Record, Source

log = logging.getLogger(__name__)


def new_traceparent(request_id: str) -> bytes:
    """A trace context that begins here, sampled; its trace id is the request's id, 32 hex digits."""
    return f"00-{request_id}-{secrets.token_hex(8)}-01".encode()


def sent(request_id: str, topic: str, headers: Headers) -> None:
    """The query app has written a request, which the broker may not have acknowledged yet."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("sent %s", printable(request_id), extra={"id": request_id, "topic": topic, **_context(headers)})


def read(prediction_id: str, record: Record) -> None:
    """The consumer app has read a prediction."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("read %s", printable(prediction_id), extra=_about(prediction_id, record))


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
        log.debug("rejected %s: %s", printable(name), error, extra=_about(name, record))
        self._inner.rejected(record, error)

    def answered(
        self,
        served: Served,
        requests: Sequence[Request],
        classes: Sequence[int],
        confidences: Sequence[float],
        timing: Timing,
    ) -> None:
        for request, number, confidence in zip(requests, classes, confidences, strict=True):
            extra = _about(request.id, request.record)
            log.debug("answered %s: class %d, %.1f %%", printable(request.id), number, confidence * 100, extra=extra)
        self._inner.answered(served, requests, classes, confidences, timing)


def _about(name: str, record: Record) -> dict[str, object]:
    return {"id": name, **place(record), **_context(record.headers)}


def _context(headers: Headers) -> dict[str, object]:
    value = dict(headers).get(TRACEPARENT)
    return {} if value is None else {TRACEPARENT: value.decode("utf-8", "replace")}
