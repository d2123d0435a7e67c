"""What the classifier has done, in figures: the loop tells them a batch at a time, whoever scrapes reads them."""

import re
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from edge.codec import CREATED_NS, Request
from edge.delivery import Delivery
from edge.drift import Window
from edge.errors import BadRequestError
from edge.health import Health
from edge.hooks import Answers, Observer, Served
from edge.records import Partition, Record, Source
from edge.rejections import MAX_KINDS, kind_of

LOOK_S = 1.0
"""How often it is asked what is assigned, behind and in flight."""
LONGEST_HOP_S = 24 * 3600.0
"""A request that seems to have been made longer ago, or in the future, tells of a clock and not of a hop."""
MAX_REASON = 100
"""Characters of a kind of reason."""
OTHER = "any other"

_LATENCIES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_HOPS_S = (*_LATENCIES_S[3:], 30.0, 60.0, 300.0, 3600.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
_CLOCK = re.compile(rb"\d{1,20}")


class Histogram:
    """How many values fell at or below each bound and above the one before; the last count is of those above all."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Take in a value, so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def observe_all(self, values: Iterable[float]) -> None:
        """Take in values, each once."""
        for value in values:
            self.observe(value)


class Metrics(Observer):
    """The figures, which are read holding `lock`.

    `stages` are what requests waited for, in seconds: their way here by the sender's clock (`request`), from being read
    to inference (`queue`), and the inference of their batch (`inference`). All three count each answered request.
    """

    def __init__(self, max_batch: int) -> None:
        self.lock = threading.Lock()
        self.health = Health(max_batch)
        self.served: Served | None = None
        self.window = Window(0)
        self.requests = self.predictions = self.implausible = 0
        self.dead_letters: dict[str, int] = {}
        self.classes: list[int] = []
        """Predictions of each class."""
        self.stages = {"request": Histogram(_HOPS_S), "queue": Histogram(_LATENCIES_S)}
        self.stages["inference"] = Histogram(_LATENCIES_S)
        self.busy_s = 0.0
        self.batches = Histogram(_BATCHES)
        self.confidences = Histogram(_CONFIDENCES)
        self.lag: Mapping[Partition, int | None] = {}
        self.in_flight = 0
        self._source: Source | None = None
        self._delivery: Delivery | None = None
        self._next_look = 0.0

    def loaded(self, served: Served) -> None:
        """From now on this model answers: the window is its own, and so are the classes where they differ."""
        if served is self.served:
            return
        self.health.loaded(served.model)
        labels = served.model.contract.labels
        with self.lock:
            if self.served is None or self.served.model.contract.labels != labels:
                self.classes = [0] * len(labels)
            self.served, self.window = served, Window(len(labels))

    def connected(self, source: Source, delivery: Delivery) -> None:
        """The loop is about to begin."""
        self._source, self._delivery = source, delivery
        self.health.turned(time.monotonic())

    def turned(self) -> None:
        """Look now and then what is assigned, behind and in flight."""
        now = time.monotonic()
        self.health.turned(now)
        if now < self._next_look or self._source is None or self._delivery is None:
            return
        self._next_look = now + LOOK_S
        lag, in_flight = self._source.lag, self._delivery.in_flight
        with self.lock:
            self.lag, self.in_flight = lag, in_flight
        self.health.partitions = len(lag)

    def rejected(self, record: Record, error: BadRequestError) -> None:
        """Count a dead letter by the kind of its reason; once there are many kinds, others are not told apart."""
        kind = " ".join(kind_of(str(error)).split())[:MAX_REASON]
        with self.lock:
            if kind not in self.dead_letters and len(self.dead_letters) >= MAX_KINDS:
                kind = OTHER
            self.dead_letters[kind] = self.dead_letters.get(kind, 0) + 1
            self.requests += 1

    def answered(self, answers: Answers) -> None:
        """Count the predictions of one batch, which are by the model that was loaded last."""
        _, requests, classes, confidences, timing = answers
        hops = [hop for request in requests if (hop := _hop_s(request, timing.received_ns)) is not None]
        self.health.answered(timing)
        with self.lock:
            self.requests += len(requests)
            self.predictions += len(requests)
            for number in classes:
                self.classes[number] += 1
            plausible = [hop for hop in hops if 0 <= hop <= LONGEST_HOP_S]
            self.implausible += len(hops) - len(plausible)
            self.stages["request"].observe_all(plausible)
            self.stages["queue"].observe(timing.queue_ms / 1000, len(requests))
            self.stages["inference"].observe(timing.infer_ms / 1000, len(requests))
            self.busy_s += timing.infer_ms / 1000
            self.batches.observe(timing.batch)
            self.confidences.observe_all(confidences)
            self.window.add(classes, confidences)


def _hop_s(request: Request, received_ns: int) -> float | None:
    """How long ago the sender made the request; NaN when what it says is no time, None when it says nothing."""
    for name, value in request.headers:
        if name == CREATED_NS:
            is_time = value is not None and _CLOCK.fullmatch(value)
            return (received_ns - int(value or b"")) / 1e9 if is_time else float("nan")
    return None
