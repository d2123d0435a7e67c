"""Records that were polled for the next reads: a poll of kafka-python costs a millisecond or so.

Nothing is polled while there are some, so that partitions are never given up, or lost, behind their back.
"""

import time
from collections.abc import Collection, Sequence

from edge.records import Partition, Record

RECORDS = 512
"""How many a poll is for, at most, unless a read is for more."""
STALE_S = 1.0
"""A loop that takes longer for them must not keep its group waiting, nor go on with them after a sleep."""


class Ahead:
    """What was polled and not read."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._polled = 0.0

    def __bool__(self) -> bool:
        return bool(self._records)

    @property
    def is_stale(self) -> bool:
        """Whether the last poll was long ago."""
        return time.monotonic() - self._polled > STALE_S

    def limit(self, max_records: int) -> int:
        """How much to poll for a read of `max_records`: no more than that where the last reads took long."""
        return max_records if self.is_stale else max(max_records, RECORDS)

    def put(self, records: Sequence[Record]) -> None:
        """Note what was polled."""
        self._records = list(records)
        self._polled = time.monotonic()

    def take(self, max_records: int) -> list[Record]:
        """The next `max_records`, or what there is."""
        taken, self._records = self._records[:max_records], self._records[max_records:]
        return taken

    def starts(self) -> dict[Partition, int]:
        """The first offset of each partition."""
        return {record.partition: record.offset for record in reversed(self._records)}

    def drop(self, partitions: Collection[Partition]) -> None:
        """Partitions that will be read again from elsewhere, or not at all."""
        self._records = [record for record in self._records if record.partition not in partitions]
