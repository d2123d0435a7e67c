"""At-least-once delivery on the in-memory client, with writes that are acknowledged when a test says so."""

from collections.abc import Callable, Sequence

from edge.delivery import AtLeastOnce
from edge.memory_client import MemoryClient, MemorySource
from edge.records import Encoded, Headers, OnDone


def start(client: MemoryClient, open_sink: Callable[[], object] | None = None) -> tuple[AtLeastOnce, MemorySource]:
    """The guarantee, and the source whose offsets it commits."""
    delivery = AtLeastOnce(open_sink or client.open_sink, commit_interval_s=0.0)  # type: ignore[arg-type]
    source = client.open_source("in", "group", delivery.on_revoked)
    delivery.attach(source)
    return delivery, source


class SlowSink:
    """Settles nothing until told to: what a real broker does, but at a time of the test's choosing."""

    def __init__(self) -> None:
        self.waiting: list[OnDone] = []
        self.closed = False

    def write(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, on_done: OnDone) -> None:
        self.waiting.append(on_done)

    def write_all(self, topic: str, batch: Sequence[Encoded], on_done: OnDone) -> None:
        self.waiting.append(on_done)

    def close(self, timeout_s: float) -> None:
        self.closed = True


def read_and_write(delivery: AtLeastOnce, source: MemorySource) -> int:
    """Answer all that is there, a batch for each record; returns how many."""
    records = source.read(100, 0.0)
    for record in records:
        delivery.write(delivery.track([record]), "out", [Encoded(record.key, record.value, ())])
    return len(records)
