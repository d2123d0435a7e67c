"""The newest events, which each page reads at its own pace, and how many of a kind are let onto it in a second."""

import itertools
import json
import secrets
import threading
from collections import deque
from typing import Any, NamedTuple

MAX_EVENTS = 400


class Event(NamedTuple):
    """One server-sent event; `number` grows by one from event to event."""

    number: int
    name: str
    data: str


class Board:
    """The last MAX_EVENTS events; a page that reads too slowly misses some, and holds up nobody."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._last = 0
        self._lock = threading.Lock()

    def put(self, name: str, document: dict[str, Any]) -> None:
        """Add an event; its document becomes one line of JSON in ASCII."""
        data = json.dumps(document, allow_nan=False, separators=(",", ":"))
        with self._lock:
            self._last += 1
            self._events.append(Event(self._last, name, data))

    def after(self, number: int) -> list[Event]:
        """The events that there still are with greater numbers, in order."""
        with self._lock:
            if number >= self._last:
                return []
            newest_first = itertools.takewhile(lambda event: event.number > number, reversed(self._events))
            return list(newest_first)[::-1]


class Budget:
    """Lets so many through each second, as evenly as they come; `now` is the monotonic clock, in seconds."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = per_second
        self._since = 0.0

    def takes(self, now: float) -> bool:
        """Whether there is room for one more."""
        self._tokens = min(self._per_second, self._tokens + (now - self._since) * self._per_second)
        self._since = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
