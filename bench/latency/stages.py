"""Where the time of each request went, from the headers and fields of its answer on the wire.

The classifier's wall clock says when it received and answered, the driver's when it sent and got the answer: both must
be one clock, as they are on one machine. On two, each hop is off by as much as their clocks differ, though the sum of
both is right; a request whose stages contradict each other, because one is negative, is left out and not counted.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import Message

from bench.load.trace import Trace
from bench.statistics import percentiles
from edge.codec import RECEIVED_NS, SENT_NS

STAGES: Mapping[str, str] = {
    "request hop": "from the intended sending until the classifier's poll returned",
    "queue": "from there to inference: decoding, and the batches before",
    "inference": "of the whole batch",
    "rest": "what else the classifier did before it had an answer",
    "prediction hop": "from there to the driver: encoding, sending, the broker",
}
"""Their sum is the latency."""


def stages_ms(trace: Trace) -> npt.NDArray[np.float64]:
    """Milliseconds of each stage, [requests, stages], of those requests whose answer tells them and adds up."""
    rows = [
        _stages(float(due + trace.wall_s), float(received + trace.wall_s), message)
        for due, received, message in zip(trace.intended_s, trace.received_s, trace.first, strict=True)
        if message is not None
    ]
    found = np.array([row for row in rows if row is not None]).reshape(-1, len(STAGES))
    return found[(found >= 0).all(axis=1)]


def summary(stages: npt.NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Percentiles of each stage; nothing when no answer tells any."""
    if not len(stages):
        return {}
    return {name: percentiles(stages[:, column]) for column, name in enumerate(STAGES)}


def _stages(due_s: float, received_s: float, message: Message) -> tuple[float, ...] | None:
    """In the order of STAGES; None for an answer that does not tell them."""
    headers: dict[str, Any] = dict(message.headers() or [])
    try:
        polled_s, answered_s = int(headers[RECEIVED_NS]) / 1e9, int(headers[SENT_NS]) / 1e9
        document = json.loads(message.value() or b"")
        queue_ms, infer_ms = float(document["queue_ms"]), float(document["infer_ms"])
    except (KeyError, TypeError, ValueError):
        return None
    rest_ms = (answered_s - polled_s) * 1000 - queue_ms - infer_ms
    # Its parts are rounded to a thousandth.
    rest_ms = max(rest_ms, 0.0) if rest_ms > -0.01 else rest_ms
    return (polled_s - due_s) * 1000, queue_ms, infer_ms, rest_ms, (received_s - answered_s) * 1000
