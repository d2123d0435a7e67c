"""One run: questions on a schedule, faults among them, and the verdict on what came of it."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.classifier import AT_LEAST_ONCE, EXACTLY_ONCE
from edge.delivery import COMMIT_INTERVAL_S, MAX_IN_FLIGHT
from edge.images import load_images
from edge.model import load_model
from edge.pubsub import KAFKA_PYTHON
from edge.service import MAX_BATCH
from tests.faults.checker import Verdict, check
from tests.faults.cluster import Cluster
from tests.faults.faults import FAULTS, POISON, Fault, Injections
from tests.faults.history import History, number_of
from tests.faults.recorder import Recorder, read_topic
from tests.faults.recovery import Injected, Recovery, longest_silence_s, recoveries
from tests.faults.stage import Exit, Stage
from tests.faults.workload import Sender, questions
from tests.paths import IMAGES, LENET

QUIET_S = 60.0
"""So long nothing new may come, after the last fault and request, before what is missing counts as lost."""


@dataclass(frozen=True)
class Plan:
    """What a run does; `options` go to every classifier as they are."""

    requests: int
    rate_per_s: float
    faults: tuple[Injections, ...]
    delivery: str = AT_LEAST_ONCE
    partitions: int = 1
    classifiers: int = 1
    keys: int = 4
    seed: int = 1
    named: bool = True
    commit_interval_s: float = COMMIT_INTERVAL_S
    options: tuple[str, ...] = ()
    client: str = KAFKA_PYTHON

    @property
    def duration_s(self) -> float:
        """From the first request to the last."""
        return self.requests / self.rate_per_s

    @property
    def proxied(self) -> bool:
        """Whether a fault needs a proxy between classifiers and broker."""
        return any(kind.proxied for kind in self._kinds)

    def misfit(self, nodes: int) -> str | None:
        """Why this cannot run on so many nodes, None when it can."""
        if self.proxied and nodes > 1:
            return "faults of the network need a single node"
        if any(kind.nodes > nodes for kind in self._kinds):
            return "the leader can be lost of three nodes only"
        if not self.named and (self.delivery == EXACTLY_ONCE or any(kind.named for kind in self._kinds)):
            return "exactly-once and zombies need names"
        if not all(kind.available for kind in self._kinds):
            return "a full disk needs Linux"
        return None

    @property
    def _kinds(self) -> list[Fault]:
        return [FAULTS[fault.name] for fault in self.faults if fault.name in FAULTS]

    @property
    def allowed_duplicates(self) -> int:
        """The stated bound: what a crash may repeat, for each of them."""
        if self.delivery == EXACTLY_ONCE:
            return 0
        crashes = sum(fault.count for fault in self.faults if fault.name != POISON)
        return crashes * (MAX_IN_FLIGHT + MAX_BATCH)

    def classifier_options(self) -> list[str]:
        """Beside those of every classifier."""
        ours = {"--client": self.client, "--delivery": self.delivery, "--commit-interval": str(self.commit_interval_s)}
        return [*(word for pair in ours.items() for word in pair), *self.options]


@dataclass(frozen=True)
class Result:
    """A run with its verdict.

    `silence_s` is the longest time without a new prediction, `log` what all classifiers said.
    """

    plan: Plan
    verdict: Verdict
    recoveries: tuple[Recovery, ...]
    silence_s: float
    log: tuple[str, ...]
    exits: tuple[Exit, ...]
    send_errors: tuple[str, ...]
    seconds: float

    def failures(self) -> list[str]:
        """What the run promises and does not hold, one line each."""
        found = self.verdict.failures(self.plan.delivery, self.plan.allowed_duplicates)
        found += [f"a classifier {exit}" for exit in self.exits]
        return found


@dataclass
class Progress:
    """What is known while a run goes on."""

    sent: int = 0
    acknowledged: int = 0
    answered: set[str] = field(default_factory=set)
    dead_letters: int = 0
    injected: list[Injected] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


def run(plan: Plan, cluster: Cluster, on_progress: Callable[[Progress], None] = lambda _: None) -> Result:
    """Run a plan on a cluster; raises what a fault raised when it could not do its harm or make good again."""
    started = time.monotonic()
    model = load_model(LENET)
    poison = sum(fault.count for fault in plan.faults if fault.name == POISON)
    asked = questions(load_images(IMAGES), model, plan.requests, keys=plan.keys, poison=poison, seed=plan.seed)
    committed = plan.delivery == EXACTLY_ONCE
    with Stage(
        cluster,
        partitions=plan.partitions,
        classifiers=plan.classifiers,
        options=plan.classifier_options(),
        named=plan.named,
        proxied=plan.proxied,
    ) as stage:
        wire, servers = stage.wire, cluster.servers
        sender = Sender(servers, wire.requests, list(asked.values()), plan.rate_per_s)
        progress = Progress()
        with Recorder(servers, [wire.predictions, wire.dead_letters], read_committed=committed) as observer:
            run_ = _Run(plan, stage, sender, observer, progress, on_progress)
            run_.to_the_end()
        stage.stop()
        requests, predictions, letters = (
            read_topic(servers, topic, read_committed=committed)
            for topic in (wire.requests, wire.predictions, wire.dead_letters)
        )
        exits, log = tuple(stage.exits), tuple(line for member in stage.members for line in member.log)
    history = History(asked, frozenset(sender.acknowledged), requests, predictions, letters, model.sha256)
    return Result(
        plan=plan,
        verdict=check(history),
        recoveries=tuple(recoveries(progress.injected, predictions)),
        silence_s=longest_silence_s(predictions),
        log=log,
        exits=exits,
        send_errors=tuple(sender.errors),
        seconds=time.monotonic() - started,
    )


class _Run:
    """The part of a run in which requests are sent and faults injected."""

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        sender: Sender,
        observer: Recorder,
        progress: Progress,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._sender = sender
        self._observer = observer
        self._progress = progress
        self._on_progress = on_progress
        self._abort = threading.Event()

    def to_the_end(self) -> None:
        """Until all is answered, or nothing new comes any more."""
        threads = [
            threading.Thread(target=self._inject, args=(fault,), name=fault.name, daemon=True)
            for fault in self._plan.faults
            if fault.name != POISON
        ]
        self._sender.start()
        for thread in threads:
            thread.start()
        try:
            while not self._sender.is_done or any(thread.is_alive() for thread in threads):
                self._step()
            self._wait_for_answers()
        finally:
            self._abort.set()
            self._sender.stop()
            for thread in threads:
                thread.join()

    def _step(self) -> int:
        """Look at what came and how the classifiers are; returns how many records came."""
        records = self._observer.read(0.1)
        progress = self._progress
        for record in records:
            if record.partition.topic == self._stage.wire.predictions:
                progress.answered.add((dict(record.headers).get("request-id") or b"").decode())
            else:
                progress.dead_letters += 1
        progress.sent, progress.acknowledged = self._sender.sent, len(self._sender.acknowledged)
        self._stage.restart_the_ended()
        self._on_progress(progress)
        if progress.errors:
            raise progress.errors[0]
        return len(records)

    def _wait_for_answers(self) -> None:
        logged = Counter(map(number_of, read_topic(self._stage.cluster.servers, self._stage.wire.requests)))
        quiet = time.monotonic() + QUIET_S
        while len(self._progress.answered) + self._progress.dead_letters < len(logged) and time.monotonic() < quiet:
            if self._step():
                quiet = time.monotonic() + QUIET_S

    def _inject(self, fault: Injections) -> None:
        started = time.monotonic()
        generator = random.Random(f"{self._plan.seed}-{fault.name}-choices")
        for moment in fault.moments(self._plan.duration_s, self._plan.seed):
            if self._abort.wait(max(0.0, started + moment - time.monotonic())):
                return
            began = time.time_ns()
            try:
                over = FAULTS[fault.name].inject(self._stage, lambda: self._hold(fault.seconds), generator)
            except BaseException as error:  # raised where the run is
                self._progress.errors.append(error)
                return
            self._progress.injected.append(Injected(fault.name, began, over))

    def _hold(self, seconds: float) -> None:
        self._abort.wait(seconds)
