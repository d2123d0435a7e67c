"""What is measured side by side: the classifier and its two floors, each a process on topics of its own."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.apps import App
from bench.load.driver import Driver, Topics
from edge.classifier import EXACTLY_ONCE
from edge.cluster import Cluster
from edge.codec import REQUEST_TOPIC_CONFIG
from edge.images import Images


@dataclass(frozen=True)
class System:
    """A command that answers a topic's records: `python -m <module> <options>`."""

    name: str
    module: str
    options: tuple[str, ...] = ()

    def command(self, topics: Topics, group: str) -> list[str]:
        """All its options."""
        named = ["--request-topic", topics.requests, "--prediction-topic", topics.predictions, "--group", group]
        return [*self.options, *named]


@dataclass(frozen=True)
class Running:
    """A system's process, and the driver that sends it requests."""

    system: System
    app: App
    driver: Driver


def systems(model: Path, delivery: str, options: Sequence[str], floors: bool) -> list[System]:
    """The classifier and, with `floors`, the same loop without a model, and a bare loop of the same client."""
    run = uuid.uuid4().hex[:8]

    def loop(name: str, module: str) -> System:
        own = [
            "--model",
            str(model.resolve()),
            "--delivery",
            delivery,
            "--dead-letter-topic",
            f"bench_dead_letter_{run}",
        ]
        named = ["--instance-id", f"bench-{name}-{run}"] if delivery == EXACTLY_ONCE else []
        return System(name, module, (*own, *named, *options))

    classifier = loop("classifier", "edge.classifier")
    return [classifier, loop("echo", "bench.echo"), System("bare", "bench.bare")] if floors else [classifier]


@contextmanager
def running(cluster: Cluster, chosen: Sequence[System], images: Images) -> Iterator[list[Running]]:
    """All systems at once, each with its driver; idle ones cost next to nothing."""
    with ExitStack() as stack:
        started = [_start(stack, cluster, system, images) for system in chosen]
        for each in started:
            each.app.check()
        yield started


def _start(stack: ExitStack, cluster: Cluster, system: System, images: Images) -> Running:
    run = uuid.uuid4().hex[:8]
    topics = Topics(f"bench_request_{run}", f"bench_prediction_{run}")
    create_topics(cluster, topics)
    driver = Driver(cluster, topics, images)
    stack.callback(driver.close)
    driver.start()
    app = stack.enter_context(App(cluster, system.module, *system.command(topics, f"bench-{run}")))
    return Running(system, app, driver)


def create_topics(cluster: Cluster, topics: Topics, partitions: int = 1) -> None:
    """A topic of requests and one of answers."""
    with cluster.connect() as pubsub:
        pubsub.create_topic(topics.requests, partitions, REQUEST_TOPIC_CONFIG, "WRITE")
        pubsub.create_topic(topics.predictions, partitions, right="READ")
