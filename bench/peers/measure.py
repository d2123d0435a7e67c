"""Measures one system: latency at a fixed rate, and how fast it drains a topic, at what cost."""

import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaException, Message
from confluent_kafka.admin import AdminClient

from bench.apps import App
from bench.errors import AppError
from bench.load import drain
from bench.load.drain import Drained, Finish
from bench.load.driver import Driver, Topics
from bench.load.trace import request_id
from bench.peers.process import Process
from bench.peers.systems import System, Task
from bench.usage import usage
from edge.cluster import Cluster
from edge.confluent_options import connection_options
from edge.images import Images

GRACE_S = 10.0
"""How long after the last request an answer still counts."""
CALIBRATION_S = 6.0
"""How long a system is watched, from its first answer on, to choose the size of its drains."""
BACKLOG = 60_000
"""How many requests it has before it meanwhile."""
FEWEST, MOST = 1_000, 100_000
"""Bounds of that size."""
TOPIC_TIMEOUT_S = 30.0
_LOOK_S = 0.05
_FEED_S = 0.005


@dataclass(frozen=True)
class Bench:
    """Where all systems are measured, with what."""

    cluster: Cluster
    images: Images
    model: Path


@dataclass(frozen=True)
class Latency:
    """One run; latencies in milliseconds from the intended time of sending, of the requests that were answered."""

    sent: int
    lost: int
    duplicated: int
    latency_ms: npt.NDArray[np.float64]
    sender_lag_ms: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cost:
    """What a process used while it drained a topic; seconds of CPU behind the warm-up."""

    cpu_s_per_1000: float
    rss_bytes: int


def latency(bench: Bench, system: System, schedule_s: npt.NDArray[np.float64], warm_up_s: float) -> Latency:
    """Send one request at each time of the schedule, behind a warm-up at the same rate."""
    rate_per_s = len(schedule_s) / schedule_s[-1]
    with _topics(bench.cluster) as topics:
        driver = _driver(bench, system, topics)
        driver.start()
        try:
            with _running(bench, system, topics) as process:
                driver.warm_up(process, rate_per_s, warm_up_s)
                trace = driver.run(schedule_s, GRACE_S)
                process.check()
        finally:
            driver.close()
    answered = trace.answers > 0
    return Latency(
        sent=len(trace.answers),
        lost=int((~answered).sum()),
        duplicated=int((trace.answers > 1).sum()),
        latency_ms=(trace.received_s - trace.intended_s)[answered] * 1000,
        sender_lag_ms=(trace.sent_s - trace.intended_s) * 1000,
    )


def drained(bench: Bench, system: System, requests: int, timeout_s: float) -> tuple[Drained, Cost]:
    """Let a new process answer so many requests; the time runs behind the warm-up, and so does the CPU's."""
    with _draining(bench, system, requests) as (process, finish):
        before = finish.written()
        _wait(process, finish, before + int(requests * system.warm_up), timeout_s)
        start_s, start = usage(process.process.pid).cpu_s, finish.written()
        finish.wait(before + requests, timeout_s, process.check)
        end, count = usage(process.process.pid), finish.written() - start
        result = drain.drained(finish, requests, GRACE_S, process.check, _number(requests), system.warm_up)
    return result, Cost((end.cpu_s - start_s) / max(1, count) * 1000, end.rss_bytes)


def size_of_drain(bench: Bench, system: System, lasting_s: float, timeout_s: float) -> int:
    """How many requests keep a system busy for so long behind its warm-up, at the rate that it comes to now."""
    with _draining(bench, system, BACKLOG) as (process, finish):
        first = finish.written()
        _wait(process, finish, first + 1, timeout_s)
        seen = [(time.monotonic(), finish.written() - first)]
        while seen[-1][1] < BACKLOG and seen[-1][0] < seen[0][0] + CALIBRATION_S:
            time.sleep(_LOOK_S)
            process.check()
            seen.append((time.monotonic(), finish.written() - first))
    # The second half: the first one is a start.
    half_s, half = seen[len(seen) // 2]
    rate_per_s = (seen[-1][1] - half) / max(_LOOK_S, seen[-1][0] - half_s)
    return int(min(max(rate_per_s * lasting_s / (1 - system.warm_up), FEWEST), MOST))


@contextmanager
def _draining(bench: Bench, system: System, requests: int) -> Iterator[tuple[App, Finish]]:
    """A new process with so many requests before it; they come one after the other when it can have only a few."""
    with _topics(bench.cluster) as topics:
        if system.in_flight is None:
            _preload(bench, system, topics, requests)
        with Finish(bench.cluster, topics.predictions) as finish, _running(bench, system, topics) as process:
            if system.in_flight is None:
                yield process, finish
            else:
                _await_first_answer(bench, system, topics, process)
                with _fed(bench, system, topics, requests, system.in_flight):
                    yield process, finish


@contextmanager
def _fed(bench: Bench, system: System, topics: Topics, requests: int, in_flight: int) -> Iterator[None]:
    """So many requests, written while others are answered, until all are there or the context ends."""
    stop = threading.Event()
    with Finish(bench.cluster, topics.predictions) as finish, ThreadPoolExecutor(1) as executor:
        ids = _paced(requests, in_flight, finish, stop)
        feeding = executor.submit(_preload, bench, system, topics, requests, ids)
        try:
            yield
        finally:
            stop.set()
            feeding.result()


def _paced(requests: int, in_flight: int, finish: Finish, stop: threading.Event) -> Iterator[int]:
    """The numbers of the requests, each as soon as no more than `in_flight` before it have no answer."""
    before, answered = finish.written(), 0
    for number in range(requests):
        while number - answered >= in_flight:
            if stop.wait(_FEED_S):
                return
            answered = finish.written() - before
        yield number


@contextmanager
def _running(bench: Bench, system: System, topics: Topics) -> Iterator[App]:
    with tempfile.TemporaryDirectory(prefix="bench-peers-", ignore_cleanup_errors=True) as name:
        group = f"bench-{uuid.uuid4().hex[:8]}"
        directory = Path(name)
        task = Task(bench.cluster.bootstrap_servers, group, topics, bench.model.resolve(), directory)
        command = system.command(system.install(), task)
        with Process(system.title, command, system.environment, directory / "log") as process:
            yield process


@contextmanager
def _topics(cluster: Cluster) -> Iterator[Topics]:
    """Topics of one partition, which go with the context: what is left behind would slow the broker down."""
    run = uuid.uuid4().hex[:8]
    topics = Topics(f"bench_request_{run}", f"bench_prediction_{run}")
    drain.create_topics(cluster, topics.requests, topics.predictions, 1)
    try:
        yield topics
    finally:
        _delete(cluster, topics)


def _delete(cluster: Cluster, topics: Topics) -> None:
    # 3 of syslog: it would tell that it ends.
    admin = AdminClient({**connection_options(cluster), "log_level": 3})
    for name, deleted in admin.delete_topics([topics.requests, topics.predictions]).items():
        try:
            deleted.result(TOPIC_TIMEOUT_S)
        except KafkaException as error:
            click.echo(f"the topic {name} is left behind: {error.args[0]}", err=True)


def _preload(bench: Bench, system: System, topics: Topics, requests: int, ids: Iterable[int] | None = None) -> None:
    values = [image.tobytes() for image in bench.images.image]
    drain.preload(bench.cluster, topics.requests, values, requests, encode=system.encode, ids=ids)


def _await_first_answer(bench: Bench, system: System, topics: Topics, process: App) -> None:
    driver = _driver(bench, system, topics)
    driver.start()
    try:
        driver.warm_up(process, 1.0, 0.0)
    finally:
        driver.close()


def _driver(bench: Bench, system: System, topics: Topics) -> Driver:
    return Driver(bench.cluster, topics, bench.images, system.encode)


def _wait(process: App, finish: Finish, count: int, timeout_s: float) -> None:
    if not finish.wait(count, timeout_s, process.check):
        raise AppError(f"{process.module} wrote {finish.written()} of {count} answers within {timeout_s:.0f} s")


def _number(requests: int) -> Callable[[Message], str | None]:
    """The number of the request that is answered; what answers another run's request is counted for none."""

    def id_of(message: Message) -> str | None:
        known = request_id(message)
        return known if known is not None and known.isdecimal() else str(requests)

    return id_of
