"""The newest records of a topic, read in a consumer group of the viewer's own that commits nothing."""

import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import groupby

from edge.cluster import Cluster
from edge.kafka_inspect import inspect
from edge.pubsub import READ_LIMIT
from edge.records import Client, Partition, Record

GROUP_PREFIX = "edge.viewer-"
"""How the groups begin; each reader has one of its own, so that it gets every partition and disturbs nobody."""

MAX_BEHIND = 20_000
"""A reader that is so many records behind goes on at the end: what it missed is counted."""

Ends = Callable[[str], Mapping[Partition, int]]
"""Asks the cluster for the offset that the next record of each partition of a topic will have."""


class Tail:
    """Reads a topic from its last `last` records of each partition on.

    At most once: nothing is committed. Where the client begins again from the earliest record, as it does after its
    group had evicted it, what was read already is passed over.
    """

    def __init__(self, client: Client, ends: Ends, topic: str, last: int) -> None:
        self.skipped = 0
        self._ends = ends
        self._topic = topic
        self._last = last
        self._began = dict(ends(topic))
        self._next = {partition: self._newest(end) for partition, end in self._began.items()}
        self._source = client.open_source(topic, f"{GROUP_PREFIX}{uuid.uuid4().hex}", _nothing_to_commit)

    def read(self, timeout_s: float) -> list[Record]:
        """What has come, in order within each partition; raises EdgeError when reading cannot go on."""
        records = sorted(self._source.read(READ_LIMIT, timeout_s), key=lambda record: record.partition)
        return [
            record
            for partition, group in groupby(records, lambda record: record.partition)
            for record in self._fresh(partition, list(group))
        ]

    def is_old(self, record: Record) -> bool:
        """Whether a record was there before this reader was."""
        return record.offset < self._began.get(record.partition, 0)

    def close(self) -> None:
        """Leave the group, which then is no more."""
        self._source.close()

    def _fresh(self, partition: Partition, records: list[Record]) -> list[Record]:
        """Those that were not read yet; where they are others than those to read, the source goes there."""
        position, start = records[-1].offset + 1, self._next.get(partition, 0)
        behind = self._source.lag.get(partition) or 0
        if position < start or behind > MAX_BEHIND:
            end = self._ends(self._topic).get(partition, position)
            if start > end:
                # A log that is shorter than it was has been cut off, or is another one.
                self._began[partition], start = 0, self._newest(end)
            elif behind > MAX_BEHIND and self._newest(end) > start:
                self.skipped += self._newest(end) - start
                start = self._newest(end)
            if position < start:
                self._source.rewind({partition: start})
        self._next[partition] = max(start, position)
        return [record for record in records if record.offset >= start]

    def _newest(self, end: int) -> int:
        return max(0, end - self._last)


def ends_of(cluster: Cluster) -> Ends:
    """Asks that cluster, on a connection of its own each time."""

    def ends(topic: str) -> Mapping[Partition, int]:
        with closing(inspect(cluster)) as inspector:
            return inspector.ends(topic)

    return ends


def _nothing_to_commit(_: object) -> Mapping[Partition, int]:
    return {}
