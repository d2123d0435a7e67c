"""What travels: records, and the two protocols behind which a Kafka client sits."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from edge.errors import EdgeError

Right = Literal["READ", "WRITE"]
Headers = Sequence[tuple[str, bytes | None]]
OnDone = Callable[[Exception | None], None]
"""Called once a write is settled: with None when the broker has it, else with the error; maybe on another thread."""
TRANSACTION_TIMEOUT_S = 10.0
"""A transaction that takes longer is given up, by this process and by the broker."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record as it was read; `timestamp_ms` is Kafka's, in milliseconds since 1970.

    A record that the client could not decode says why in `flaw`; one that stands for several has the last one's offset.
    """

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    flaw: str | None = None


class Encoded(NamedTuple):
    """A record to write, but for its topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


OnRevoked = Callable[[Collection[Partition]], Mapping[Partition, int]]
"""Called when partitions go to another member: returns the offsets to commit before they do."""


class Source(Protocol):
    """Records of one topic, read in a consumer group.

    At least once: what was read and not committed is read again after a crash, or by the next owner.
    """

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records` records, in order within each partition; empty when none came in time."""

    @property
    def is_ahead(self) -> bool:
        """Whether the next `read` will hardly have to wait."""

    @property
    def lag(self) -> Mapping[Partition, int | None]:
        """Of each partition that is assigned, how many records were not read yet; None where nobody knows yet.

        It asks nobody: the end of a partition is the one that the broker told last, within a second or so.
        """

    def commit(self, offsets: Mapping[Partition, int], on_done: OnDone) -> None:
        """Start to commit the next offset to read of each partition; a fatal failure is raised by `read`."""

    def commit_now(self, offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """The same, returning when the broker has it."""

    def rewind(self, offsets: Mapping[Partition, int]) -> None:
        """Read these partitions again from the given offsets; partitions no longer owned are passed over."""

    def rewind_to_committed(self) -> None:
        """Read all partitions again from what the group has committed, or from their beginning.

        Raises: EdgeError when the group's coordinator does not answer.
        """

    def check_place(self) -> None:
        """Ask the group whether this member's name is still its own.

        Raises: FencedError when another process has it, BrokerUnavailableError when nobody says.
        """

    @property
    def membership(self) -> object:
        """What a transaction needs to know of this member of its group, for a sink of the same client."""

    def pause(self, paused: bool) -> None:
        """While paused, `read` returns nothing but stays a member of its group."""

    def close(self) -> None:
        """Leave the group."""


class Sink(Protocol):
    """Writes records; a write is settled when the broker has acknowledged it on every in-sync replica."""

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        """Start to write one record."""

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        """Start to write records; `on_done` is called once all of them are settled, with an error if one failed."""

    def close(self, timeout_s: float) -> None:
        """Settle what can be settled in `timeout_s`, and let go of the connection."""


class TransactionalSink(Sink, Protocol):
    """Writes in transactions: a reader of committed records sees all of one, or nothing; also the offsets in it."""

    def begin(self) -> None:
        """Start a transaction, to which all writes belong until it is committed.

        Raises: EdgeError when this sink is of no more use.
        """

    def commit(self, offsets: Mapping[Partition, int], membership: object, on_done: OnDone) -> None:
        """Start to commit the transaction, and with it the next offset to read of each partition.

        After an error it may or may not have been committed: a new sink of the same name finds out, and the source is
        then rewound to what is committed.
        """


class Client(Protocol):
    """A connection to a cluster, which makes topics, sources and sinks."""

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str], right: Right | None = None) -> bool:
        """Create a topic; False when it was there already. Raises NotAuthorisedError when `right` on it is missing."""

    def open_source(self, topic: str, group: str, on_revoked: OnRevoked) -> Source:
        """Join the consumer group and read the topic, from its earliest record when the group has no offset."""

    def scan(self, topic: str, starts: Mapping[Partition, int] | None = None) -> Generator[Record]:
        """What a topic holds as of now, outside of any group, or of some partitions from the given offsets on.

        Raises: ConfigurationError when there is no such topic, BrokerUnavailableError when it cannot be read on.
        """

    def open_sink(self) -> Sink:
        """A new sink."""

    def open_transactional_sink(self, name: str) -> TransactionalSink:
        """A new sink whose transactions have a name: it ends those that an earlier sink of that name left open."""

    def find_fault(self) -> EdgeError | None:
        """Why the cluster cannot be used at the moment, None when it can; an error that is fatal stays one."""
