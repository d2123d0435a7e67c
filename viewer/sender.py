"""Writes requests that were drawn on a page, each acknowledged before it counts as sent."""

import queue
import threading
import time

from edge.errors import BrokerUnavailableError
from edge.records import Client, Sink
from edge.sensed import Sensed

ACKNOWLEDGED_S = 10.0
DEVICE = "viewer"
"""The key of what is sent from here."""


class Sender:
    """Writes to the request topic, one at a time; after a failure the next write gets a new sink."""

    def __init__(self, client: Client, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._sink: Sink | None = None
        self._lock = threading.Lock()

    def send(self, request_id: str, pixels: bytes) -> None:
        """Write one request, and return when the broker has it.

        Raises: EdgeError when it was not acknowledged in time; it may have been written nevertheless.
        """
        outcome: queue.Queue[Exception | None] = queue.Queue()
        with self._lock:
            try:
                if self._sink is None:
                    self._sink = self._client.open_sink()
                # Created now: that a connection had to be opened first is no part of a request's latency.
                request = Sensed(request_id, time.time_ns(), DEVICE.encode(), pixels).encoded()
                self._sink.write(self._topic, request.value, request.key, request.headers, outcome.put)
                if (error := outcome.get(timeout=ACKNOWLEDGED_S)) is not None:
                    raise error
            except queue.Empty:
                self._drop()
                raise BrokerUnavailableError(
                    f"Kafka has not acknowledged the request within {ACKNOWLEDGED_S:.0f} s"
                ) from None
            except Exception:
                self._drop()
                raise

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close(0.5)
