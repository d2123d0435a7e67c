"""Answers as the driver gets them, without a broker."""

import json
from typing import Any

import numpy as np

from bench.load.trace import Trace
from edge.codec import RECEIVED_NS, REQUEST_ID, SENT_NS


class Answer:
    """A message of confluent-kafka's, as far as the bench looks at it."""

    def __init__(self, name: str, value: bytes = b"", error: str | None = None, **headers: str) -> None:
        self._value, self._error = value, error
        self._headers = [(REQUEST_ID, name.encode()), *((key, value.encode()) for key, value in headers.items())]

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def value(self) -> bytes:
        return self._value

    def error(self) -> str | None:
        return self._error


def trace_of(latencies_ms: list[float], lag_ms: float = 0.0) -> Trace:
    """A run of a request each 0.1 s, all of them answered once."""
    trace = Trace(1000.0 + np.arange(len(latencies_ms)) / 10)
    trace.sent_s[:] = trace.intended_s + lag_ms / 1000
    trace.received_s[:] = trace.intended_s + np.array(latencies_ms) / 1000
    trace.answers[:] = 1
    return trace


def classified(trace: Trace, number: int, polled_ms: float, queue_ms: float, infer_ms: float, sent_ms: float) -> Any:
    """A classifier's answer; times in milliseconds since the request was due."""
    due_s = trace.intended_s[number] + trace.wall_s
    value = json.dumps({"queue_ms": queue_ms, "infer_ms": infer_ms}).encode()
    headers = {key: str(int((due_s + ms / 1000) * 1e9)) for key, ms in ((RECEIVED_NS, polled_ms), (SENT_NS, sent_ms))}
    return Answer(trace.name(number), value, **headers)
