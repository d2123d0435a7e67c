"""Runs the classifier's loop on the in-memory client until all requests are answered."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge.delivery import AtLeastOnce, Delivery
from edge.hooks import Hooks
from edge.memory_client import MemoryClient, MemorySource
from edge.records import Record
from edge.service import Options, Service
from edge.transactions import ExactlyOnce

OPTIONS = Options("out", "dead", max_batch=16)


class ReadUntilEmpty:
    """The in-memory source, which tells the loop to stop when there is nothing more to read."""

    def __init__(self, source: MemorySource, delivery: Delivery, stop: threading.Event) -> None:
        self._source, self._delivery, self._stop = source, delivery, stop

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        records = self._source.read(max_records, timeout_s)
        if not records and not self._delivery.is_full:
            self._stop.set()
        return records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def guarantee(client: MemoryClient, is_exactly_once: bool = False) -> Delivery:
    """Either guarantee, which commits as often as it can."""
    if is_exactly_once:
        return ExactlyOnce(lambda: client.open_transactional_sink("name"), commit_interval_s=0.0)
    return AtLeastOnce(client.open_sink, commit_interval_s=0.0)


@contextmanager
def answered(client: MemoryClient, hooks: Hooks, delivery: Delivery) -> Iterator[Service]:
    """The loop has answered all of the topic `in`; what is in flight can still be settled before it is drained."""
    stop = threading.Event()
    source = ReadUntilEmpty(client.open_source("in", "group", delivery.on_revoked), delivery, stop)
    delivery.attach(source)
    service = Service(source, delivery, hooks, OPTIONS)
    service.run(stop)
    yield service
    assert delivery.drain(1.0) == 0
    source.close()


def answer(client: MemoryClient, hooks: Hooks, is_exactly_once: bool = False) -> Service:
    """Answer all of the topic `in`."""
    with answered(client, hooks, guarantee(client, is_exactly_once)) as service:
        return service
