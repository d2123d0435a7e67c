"""A cluster in memory behind the protocols of `records`, for unit tests; its writes can be made to fail."""

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from typing import cast

from edge.errors import ConfigurationError, EdgeError
from edge.records import Encoded, Headers, OnDone, OnRevoked, Partition, Record, Right, Sink


class MemoryClient:
    """Topics of one partition each; keeps no order of members: a group's sources share one position."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Record]] = defaultdict(list)
        self.committed: dict[tuple[str, Partition], int] = {}
        self.failures: list[Exception] = []
        self.fault: EdgeError | None = None
        self.sinks_opened = 0

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str], right: Right | None = None) -> bool:
        """Create a topic; False when it was there already; everybody has every right."""
        if name in self.topics:
            return False
        self.topics[name] = []
        return True

    def open_source(self, topic: str, group: str, on_revoked: OnRevoked) -> "MemorySource":
        """Read the topic from the group's offset."""
        return MemorySource(self, topic, group, on_revoked)

    def scan(self, topic: str, starts: Mapping[Partition, int] | None = None) -> Generator[Record]:
        """What a topic holds as of now."""
        if topic not in self.topics:
            raise ConfigurationError(f"there is no topic {topic!r}")
        partition = Partition(topic, 0)
        if starts is None or partition in starts:
            yield from self.topics[topic][(starts or {}).get(partition, 0) :]

    def open_sink(self) -> "MemorySink":
        """A new sink, into which `failures` are dealt one a write."""
        self.sinks_opened += 1
        return MemorySink(self)

    def open_transactional_sink(self, name: str) -> "MemoryTransactionalSink":
        """The same in transactions; what one left open is dropped with it."""
        self.sinks_opened += 1
        return MemoryTransactionalSink(self)

    def find_fault(self) -> EdgeError | None:
        """The `fault` that a test has set."""
        return self.fault

    def append(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> Record:
        """Put one record into a topic."""
        log = self.topics[topic]
        record = Record(Partition(topic, 0), len(log), 0, key, value, tuple(headers))
        log.append(record)
        return record


class MemorySource:
    """Reads one topic; at least once, as `records.Source` says."""

    def __init__(self, client: MemoryClient, topic: str, group: str, on_revoked: OnRevoked) -> None:
        self._client = client
        self._partition = Partition(topic, 0)
        self._group = group
        self._on_revoked = on_revoked
        self._position = client.committed.get((group, self._partition), 0)
        self._is_paused = False

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records` records; never waits."""
        if self._is_paused:
            return []
        records = self._client.topics[self._partition.topic][self._position : self._position + max_records]
        self._position += len(records)
        return records

    @property
    def is_ahead(self) -> bool:
        """Whether there are more records."""
        return self._position < len(self._client.topics[self._partition.topic])

    @property
    def lag(self) -> Mapping[Partition, int | None]:
        """The only partition is always assigned."""
        return {self._partition: len(self._client.topics[self._partition.topic]) - self._position}

    def commit(self, offsets: Mapping[Partition, int], on_done: OnDone) -> None:
        """Commit at once."""
        self.commit_now(offsets, 0.0)
        on_done(None)

    def commit_now(self, offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Commit at once."""
        self._client.committed.update({(self._group, partition): offset for partition, offset in offsets.items()})

    def rewind(self, offsets: Mapping[Partition, int]) -> None:
        """Read again from the given offsets."""
        self._position = offsets.get(self._partition, self._position)

    def rewind_to_committed(self) -> None:
        """Read again from the group's offset."""
        self._position = self._client.committed.get(self.membership, 0)

    def check_place(self) -> None:
        """Nobody takes names here."""

    @property
    def membership(self) -> tuple[str, Partition]:
        """Where the group keeps its offset."""
        return self._group, self._partition

    def pause(self, paused: bool) -> None:
        """Stop or go on returning records."""
        self._is_paused = paused

    def close(self) -> None:
        """Give the partition up, as a member that leaves its group does."""
        self.commit_now(self._on_revoked([self._partition]), 0.0)


class MemorySink:
    """Writes into topics; a write takes the next of the client's `failures`, and after one every write fails."""

    def __init__(self, client: MemoryClient) -> None:
        self._client = client
        self._failure: Exception | None = None

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        """Write one record at once."""
        if self._failure is None and self._client.failures:
            self._failure = self._client.failures.pop(0)
        if self._failure is None:
            self._client.append(topic, value, key, headers)
        on_done(self._failure)

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        """Write records at once."""
        write_each(self, topic, batch, on_done)

    def close(self, timeout_s: float) -> None:
        """Nothing is held."""


def write_each(sink: Sink, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
    """Write records one by one to a sink that settles each at once."""
    outcomes: list[Exception | None] = []
    for key, value, headers in batch:
        sink.write(topic, value, key, headers, outcomes.append)
    on_done(next((error for error in outcomes if error is not None), None))


class MemoryTransactionalSink:
    """Keeps what is written until it is committed; a write or commit takes the next of the client's `failures`."""

    def __init__(self, client: MemoryClient) -> None:
        self._client = client
        self._written: list[tuple[str, bytes | None, bytes | None, Headers]] = []

    def begin(self) -> None:
        """Start a transaction."""
        self._written.clear()

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        """Add one record to the transaction."""
        self._written.append((topic, value, key, headers))
        on_done(self._client.failures.pop(0) if self._client.failures else None)

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        """Add records to the transaction."""
        write_each(self, topic, batch, on_done)

    def commit(self, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
        """Show everything at once, and commit the offsets."""
        failure = self._client.failures.pop(0) if self._client.failures else None
        if failure is None:
            for record in self._written:
                self._client.append(*record)
            group, _ = cast("tuple[str, Partition]", membership)
            self._client.committed.update({(group, partition): offset for partition, offset in offsets.items()})
        on_done(failure)

    def close(self, timeout_s: float) -> None:
        """What is not committed is lost."""
        self._written.clear()
