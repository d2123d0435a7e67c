"""A broker, a classifier and the viewer, for what runs longer than a test."""

import contextlib
from collections.abc import Iterator

from edge.query import SAMPLES
from localkafka import LocalKafka
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire, wire_on
from tests.viewer.pages import Viewer


@contextlib.contextmanager
def running(*options: str) -> Iterator[tuple[Wire, Viewer]]:
    """All of it, ready; `options` are the viewer's."""
    with LocalKafka() as broker:
        wire = wire_on(broker)
        wire.create()
        with Process("edge.classifier", *wire.classifier) as classifier:
            wait_until(lambda: "partitions assigned" in classifier.log, "the classifier's partition")
            with Viewer(wire, *options) as viewer:
                yield wire, viewer


@contextlib.contextmanager
def camera(wire: Wire, name: str, interval_s: float, *options: str) -> Iterator[Process]:
    """A device that asks on and on."""
    images = ["--images", str(SAMPLES), "--interval", str(interval_s), "--device", name, *options]
    where = ["--bootstrap-servers", wire.servers, "--request-topic", wire.requests]
    with Process("edge.query", *where, *images) as app:
        yield app
