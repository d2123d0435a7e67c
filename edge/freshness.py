"""Requests that have waited for too long are not answered: `--max-age` of the classifier."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from edge.errors import ExpiredError
from edge.records import Record


class Freshness:
    """Lets in what is at most `max_age_s` old, by Kafka's timestamp and this machine's clock (seconds since 1970).

    The timestamp is the sender's, unless the topic has `message.timestamp.type=LogAppendTime`, which makes it the
    broker's. Nothing is known of the age of a record without one (-1), or with one in the future: it is let in.
    """

    def __init__(self, max_age_s: float, clock: Callable[[], float] = time.time) -> None:
        self.expired = 0
        self._max_age_s = max_age_s
        self._clock = clock

    def admit(self, record: Record) -> None:
        """Raises ExpiredError for a record that is too old, unless it has a flaw: that says more."""
        if record.timestamp_ms < 0 or record.flaw is not None:
            return
        age_s = self._clock() - record.timestamp_ms / 1000
        if age_s > self._max_age_s:
            self.expired += 1
            written = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
            raise ExpiredError(
                f"expired: the request is {age_s:.1f} s old (of {written}), --max-age is {self._max_age_s:g} s"
            )

    @property
    def summary(self) -> str:
        """For the log."""
        return f"{self.expired} of them expired"
