"""Follows each request through the apps' logs by its id: a line for it in each app at DEBUG (-v), and no cost without.

The lines have the fields `id`, `topic`, `partition`, `offset` and, when the request has one, `traceparent` (W3C Trace
Context), which --log-json shows.
"""

import logging
import secrets

from edge.codec import TRACEPARENT
from edge.logs import place, printable
from edge.records import Encoded, Headers, Record
from edge.sensed import Sensed

log = logging.getLogger(__name__)


def new_traceparent(request_id: str) -> bytes:
    """A trace context that begins here, sampled; its trace id is the request's id, 32 hex digits."""
    return f"00-{request_id}-{secrets.token_hex(8)}-01".encode()


def request(image: Sensed, topic: str, with_trace: bool) -> Encoded:
    """The request of an image that the query app is about to send, with a trace of its own if asked for."""
    encoded = image.encoded()
    if with_trace:
        encoded = encoded._replace(headers=[*encoded.headers, (TRACEPARENT, new_traceparent(image.id))])
    if log.isEnabledFor(logging.DEBUG):
        extra = {"id": image.id, "topic": topic, **_context(encoded.headers)}
        log.debug("sent %s", printable(image.id), extra=extra)
    return encoded


def read(prediction_id: str, record: Record) -> None:
    """The consumer app has read a prediction."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("read %s", printable(prediction_id), extra=about(prediction_id, record))


def about(name: str, record: Record) -> dict[str, object]:
    """The fields of a line about a request that is in this record."""
    return {"id": name, **place(record), **_context(record.headers)}


def _context(headers: Headers) -> dict[str, object]:
    value = dict(headers).get(TRACEPARENT)
    return {} if value is None else {TRACEPARENT: value.decode("utf-8", "replace")}
