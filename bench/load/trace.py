"""What happened to each request of a run: when it was due, sent and answered, and by what."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from confluent_kafka import Message

from bench.errors import AppError
from edge.codec import REQUEST_ID

IdOf = Callable[[Message], str | None]
"""Finds the id of the request in an answer to it."""


def request_id(message: Message) -> str | None:
    """The id in the header that `edge` copies from a request to its answer."""
    value = dict(message.headers() or []).get(REQUEST_ID)
    return value.decode() if isinstance(value, bytes) else value


@dataclass
class Arrivals:
    """Messages as they came, not looked at before the run is over; times in seconds on the driver's clock."""

    times_s: list[float] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    assigned: int = 0

    def __len__(self) -> int:
        return len(self.messages)

    def add(self, time_s: float, message: Message) -> None:
        """Note one more."""
        self.times_s.append(time_s)
        self.messages.append(message)


@dataclass
class Trace:
    """Arrays are [requests], in the order of the schedule; times in seconds on the driver's clock, NaN for never.

    `first` holds the first answer to each request. `wall_s` is what to add to a time to get seconds since 1970.
    """

    intended_s: npt.NDArray[np.float64]
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex)
    is_cut: bool = False
    wall_s: float = field(init=False)
    sent_s: npt.NDArray[np.float64] = field(init=False)
    received_s: npt.NDArray[np.float64] = field(init=False)
    answers: npt.NDArray[np.int64] = field(init=False)
    first: list[Message | None] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.intended_s)
        self.wall_s = wall_offset_s()
        self.sent_s = np.full(count, np.nan)
        self.received_s = np.full(count, np.nan)
        self.answers = np.zeros(count, np.int64)
        self.first = [None] * count

    @classmethod
    def of_sent(cls, sent_s: Sequence[float], prefix: str) -> "Trace":
        """Of requests that were due when they were sent."""
        trace = cls(np.array(sent_s), prefix)
        trace.sent_s = trace.intended_s.copy()
        return trace

    def name(self, number: int) -> str:
        """The id of a request, unlike those of all other runs."""
        return f"{self.prefix}-{number}"

    @property
    def is_sent(self) -> npt.NDArray[np.bool_]:
        """Which requests were sent: all, unless the run was cut."""
        return ~np.isnan(self.sent_s)

    @property
    def missing(self) -> int:
        """How many of those sent have no answer."""
        return int((self.is_sent & (self.answers == 0)).sum())

    def assign(self, arrivals: Arrivals, id_of: IdOf) -> None:
        """Look at the arrivals that were not looked at yet; those of other runs are passed over.

        Raises: AppError when one of them is the client's error.
        """
        for index in range(arrivals.assigned, len(arrivals)):
            message = arrivals.messages[index]
            if message.error() is not None:
                raise AppError(f"a prediction could not be received: {message.error()}")
            run, _, number = (id_of(message) or "").rpartition("-")
            if run == self.prefix:
                self._answered(int(number), arrivals.times_s[index], message)
        arrivals.assigned = len(arrivals)

    def _answered(self, number: int, time_s: float, message: Message) -> None:
        if self.answers[number] == 0:
            self.received_s[number] = time_s
            self.first[number] = message
        self.answers[number] += 1


class Limit:
    """A run is of no more use once more than `allowed` of its requests have waited for longer than `bound_s`.

    Which answer belongs to which request is not known while it runs: they are taken to come in order.
    """

    def __init__(self, bound_s: float, allowed: int) -> None:
        self._bound_s = bound_s
        self._allowed = allowed
        self._seen = 0
        self._late = 0

    def is_exceeded(self, intended_s: npt.NDArray[np.float64], times_s: Sequence[float], now_s: float) -> bool:
        """Whether that is so at `now_s`, when answers have come at `times_s`; called again, it looks at new ones."""
        new = np.array(times_s[self._seen : len(intended_s)])
        self._late += int((new - intended_s[self._seen : self._seen + len(new)] > self._bound_s).sum())
        self._seen += len(new)
        overdue = int(np.searchsorted(intended_s, now_s - self._bound_s)) - self._seen
        return self._late + max(0, overdue) > self._allowed


def wall_offset_s() -> float:
    """What to add to `time.perf_counter()` to get the wall clock's seconds since 1970.

    Of several readings, the one that was interrupted least between its two clocks.
    """
    return max(time.time_ns() / 1e9 - time.perf_counter() for _ in range(5))
