"""A consumer group of one app that works off a preloaded topic: how fast, and at what cost."""

import contextlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.apps import App
from bench.load import drain
from bench.load.trace import request_id
from bench.options import Setup
from bench.usage import usage
from edge import classifier
from edge.classifier import AT_LEAST_ONCE, EXACTLY_ONCE
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.errors import BadDataError
from edge.images import Images, load_images
from edge.model import Model, load_model
from localkafka import LocalKafka

CLASSIFIER, ECHO = "edge.classifier", "bench.echo"
REBALANCE = {"group.initial.rebalance.delay.ms": "3000"}
"""Of our own broker: Kafka's default, so that processes started together share the partitions from the beginning.

For so long the first member waits for others between "loaded" and "partitions assigned", also where it stays alone;
what is timed comes behind that.
"""
MEASURES = ("images_per_s", "cpu_s_per_1000", "rss_peak_bytes", "broker_cpu_s_per_1000")
COUNTS = ("lost", "duplicated")
_SAMPLE_S = 0.5


@dataclass(frozen=True)
class Work:
    """A preloaded topic: requests, in turn over the partitions, with numbers for ids."""

    topic: str
    requests: int
    partitions: int


@dataclass(frozen=True)
class Bench:
    """Where the measuring takes place, `kafka` being its broker when it is our own, and the longest one drain."""

    cluster: Cluster
    kafka: LocalKafka | None
    timeout_s: float

    @property
    def broker_pid(self) -> int | None:
        """The process of our own broker."""
        return None if self.kafka is None else self.kafka.pid

    def broker_cpu_s(self) -> float:
        """Seconds of CPU of our own broker so far; 0 when it is somebody else's."""
        return 0.0 if self.broker_pid is None else usage(self.broker_pid).cpu_s


class _Watch:
    """Looks at the processes of a group while they work."""

    def __init__(self, apps: Sequence[App]) -> None:
        self._apps = apps
        self._next_s = 0.0
        self.rss_peak_bytes = 0

    def check(self) -> None:
        """Raise when one has ended; now and then, note the memory of the largest one."""
        for app in self._apps:
            app.check()
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _SAMPLE_S
            self.cpu_s()

    def cpu_s(self) -> float:
        """Seconds of CPU of all so far."""
        found = [usage(app.process.pid) for app in self._apps]
        self.rss_peak_bytes = max(self.rss_peak_bytes, *(one.rss_bytes for one in found))
        return sum(one.cpu_s for one in found)


def parameters(options: Sequence[str]) -> dict[str, Any]:
    """What the classifier's command makes of such options; as it also looks into the environment.

    Raises: click.UsageError as the classifier would.
    """
    return classifier.main.make_context(CLASSIFIER, list(options)).params


def loaded(setup: Setup) -> tuple[Model, Images]:
    """The model that the classifiers serve, and the images that they are sent; raises as `fitting` does."""
    return fitting(setup.model, setup.images, setup.options)


def fitting(model: Path, images: Path, options: Sequence[str]) -> tuple[Model, Images]:
    """A model as the classifier loads it with these options, and images.

    Raises: BadDataError when these do not fit: each would end as a dead letter.
    """
    found = parameters(options)
    served, sent = load_model(model, found["contract"], found["model_sha256"]), load_images(images)
    size, due = sent.image[0].nbytes, served.contract.input_bytes
    if size != due:
        raise BadDataError(f"the images have {size:,} bytes, the model takes {due:,}: name others with --images")
    return served, sent


def delivery_options(delivery: str, number: int) -> list[str]:
    """The options of the member `number` of a group."""
    name = ["--instance-id", f"bench-{number}"] if delivery == EXACTLY_ONCE else []
    return ["--delivery", delivery, *name]


def topic_options(requests: str, predictions: str) -> list[str]:
    """The options of a new group that works on these topics alone."""
    named = ["--request-topic", requests, "--prediction-topic", predictions, "--group", predictions]
    return [*named, "--dead-letter-topic", f"{predictions}_dead_letter"]


def created(bench: Bench, requests: int, partitions: int) -> Work:
    """A new topic for so many requests."""
    work = Work(f"bench_request_{uuid.uuid4().hex[:8]}", requests, partitions)
    with bench.cluster.connect() as pubsub:
        pubsub.create_topic(work.topic, partitions, REQUEST_TOPIC_CONFIG, "WRITE")
    return work


def preloaded(bench: Bench, values: Sequence[bytes], requests: int, partitions: int, content_type: str = "") -> Work:
    """The same with the requests in it."""
    work = created(bench, requests, partitions)
    drain.preload(bench.cluster, work.topic, values, requests, partitions, content_type)
    return work


def drained_by(
    bench: Bench, work: Work, app: str, processes: int, options: Sequence[str], delivery: str = AT_LEAST_ONCE
) -> dict[str, Any]:
    """Let a new group of so many processes answer all requests; the row of a result's table.

    CPU is counted over the same part of the answers that is timed; `rss_peak_bytes` is the largest process's.
    """
    predictions = f"{work.topic}_{uuid.uuid4().hex[:8]}"
    with bench.cluster.connect() as pubsub:
        pubsub.create_topic(predictions, work.partitions, drain.APPENDED, "READ")
    where = topic_options(work.topic, predictions)
    with contextlib.ExitStack() as stack:
        finish = stack.enter_context(drain.Finish(bench.cluster, predictions))
        apps = [
            stack.enter_context(App(bench.cluster, app, *options, *where, *delivery_options(delivery, number)))
            for number in range(processes)
        ]
        watch, deadline = _Watch(apps), time.monotonic() + bench.timeout_s
        cost = _cost(bench, work, finish, watch, deadline)
        result = drain.drained(finish, work.requests, _left(deadline), watch.check, request_id)
    return {
        "app": app,
        "prediction_topic": predictions,
        "processes": processes,
        "partitions": work.partitions,
        "requests": result.requests,
        "answered": result.answered,
        "lost": result.lost,
        "duplicated": result.duplicated,
        "images_per_s": result.images_per_s,
        "seconds": result.seconds,
        **cost,
        "rss_peak_bytes": watch.rss_peak_bytes,
    }


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _cost(bench: Bench, work: Work, finish: drain.Finish, watch: _Watch, deadline: float) -> dict[str, float | None]:
    """Seconds of CPU for 1,000 answers behind the warm-up, of the group and of our own broker."""
    if not finish.wait(int(work.requests * drain.WARM_UP_SHARE), _left(deadline), watch.check):
        return {}
    first, cpu_s, broker_s = finish.written(), watch.cpu_s(), bench.broker_cpu_s()
    finish.wait(work.requests, _left(deadline), watch.check)
    count, cpu_s, broker_s = finish.written() - first, watch.cpu_s() - cpu_s, bench.broker_cpu_s() - broker_s
    if not count:
        return {}
    is_own = bench.broker_pid is not None
    return {
        "cpu_s_per_1000": cpu_s / count * 1000,
        "broker_cpu_s_per_1000": broker_s / count * 1000 if is_own else None,
    }
