"""The newest records of a topic, read in a consumer group of the viewer's own that commits nothing."""

import uuid
from collections.abc import Mapping
from itertools import groupby

from edge.pubsub import READ_LIMIT
from edge.records import Client, Partition, Record

GROUP_PREFIX = "edge.viewer-"
"""How the groups begin; each reader has one of its own, so that it gets every partition and disturbs nobody."""

MAX_BEHIND = 20_000
"""A reader that is so many records behind goes on at the end: what it missed is counted."""


class Tail:
    """Reads a topic from its last `last` records of each partition on.

    At most once: nothing is committed. Where the client begins again from the earliest record, as it does after its
    group had evicted it, what was read already is passed over.
    """

    def __init__(self, client: Client, topic: str, last: int) -> None:
        self.skipped = 0
        self._last = last
        self._next: dict[Partition, int] = {}
        self._began: dict[Partition, int] = {}
        self._source = client.open_source(topic, f"{GROUP_PREFIX}{uuid.uuid4().hex}", _nothing_to_commit)

    def read(self, timeout_s: float) -> list[Record]:
        """What has come, in order within each partition; raises EdgeError when reading cannot go on."""
        records = self._source.read(READ_LIMIT, timeout_s)
        lag = self._source.lag
        if not records:
            # Of partitions with nothing to read, all that comes is new.
            self._began = {partition: 0 for partition, behind in lag.items() if behind == 0} | self._began
            return []
        ordered = sorted(records, key=lambda record: record.partition)
        return [
            record
            for partition, group in groupby(ordered, lambda record: record.partition)
            for record in self._newest(partition, list(group), lag.get(partition) or 0)
        ]

    def _newest(self, partition: Partition, records: list[Record], lag: int) -> list[Record]:
        position = records[-1].offset + 1
        end = position + lag
        start = self._start(partition, records[0].offset, end)
        if end - start > MAX_BEHIND:
            self.skipped += end - self._last - start
            start = end - self._last
        self._next[partition] = max(start, position)
        if position < start:
            self._source.rewind({partition: start})
        return [record for record in records if record.offset >= start]

    def _start(self, partition: Partition, first: int, end: int) -> int:
        """The next offset to read of a partition of which records from `first` on were read."""
        known = self._next.get(partition)
        # A log that is shorter than it was has been cut off, or is another one.
        if known is not None and known <= end:
            return known
        if known is None and partition in self._began:
            return first
        self._began.setdefault(partition, end)
        return max(0, end - self._last)

    def is_old(self, record: Record) -> bool:
        """Whether a record was there before this reader was."""
        return record.offset < self._began[record.partition]

    def close(self) -> None:
        """Leave the group, which then is no more."""
        self._source.close()


def _nothing_to_commit(_: object) -> Mapping[Partition, int]:
    return {}
