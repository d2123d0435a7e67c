"""Faults by name; each does its harm, holds it for a while, and makes good again."""

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.errors import EXIT_BAD_CONFIGURATION
from tests.faults.cluster import CAN_FILL_DISK
from tests.faults.stage import Exit, Stage

Hold = Callable[[], None]
Inject = Callable[[Stage, Hold, random.Random], int]
"""Does harm, calls `hold` once, makes good; returns when recovery could begin, in nanoseconds since 1970."""

SLOW_S, SLOW_BYTES_PER_S = 0.05, 200_000.0
TRICKLE_S, JOIN_S = 0.3, 10.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault; `seconds` is how long it lasts unless told otherwise, the rest is what it needs."""

    inject: Inject
    seconds: float
    proxied: bool = False
    nodes: int = 1
    named: bool = False
    available: bool = True

    @property
    def meaning(self) -> str:
        """What it does, in a sentence."""
        return (self.inject.__doc__ or "").strip()


@dataclass(frozen=True)
class Injections:
    """So many faults of a kind in one run, `seconds` each."""

    name: str
    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> "Injections":
        """`name[:count[:seconds]]`; raises ValueError saying what is wrong."""
        name, *numbers = text.split(":")
        if name != POISON and name not in FAULTS:
            raise ValueError(f"{name!r} is no fault: use {', '.join([*FAULTS, POISON])}")
        default = FAULTS[name].seconds if name in FAULTS else 0.0
        count, seconds = [*numbers, *["1", str(default)][len(numbers) :]]
        if not count.isdecimal() or int(count) < 1:
            raise ValueError(f"{count!r} is no count of {name}")
        if not re.fullmatch(r"\d+(\.\d+)?", seconds):
            raise ValueError(f"{seconds!r} are no seconds of {name}")
        return cls(name, int(count), float(seconds))

    def moments(self, duration_s: float, seed: int) -> list[float]:
        """When each starts, in seconds from the first request: one in each of `count` slots of equal length."""
        generator = random.Random(f"{seed}-{self.name}")
        slot = duration_s * 0.9 / self.count
        return [duration_s * 0.05 + slot * (index + generator.random() * 0.8) for index in range(self.count)]


def kill_classifier(stage: Stage, hold: Hold, generator: random.Random) -> int:
    """SIGKILL one classifier and start it again."""
    member = generator.choice(stage.members)
    with member.lock:
        member.kill()
        hold()
        return member.start()


def stop_classifier(stage: Stage, hold: Hold, generator: random.Random) -> int:
    """SIGSTOP one classifier for longer than its session's time-out: its group evicts it."""
    member = generator.choice(stage.members)
    with member.lock, member.stopped():
        hold()
    return time.time_ns()


def zombie(stage: Stage, hold: Hold, generator: random.Random) -> int:
    """SIGSTOP one classifier, start another of the same --instance-id, and wake the first: it must give way and end."""
    member = generator.choice(stage.members)
    with member.lock:
        started, code = member.replace(hold)
    if code != EXIT_BAD_CONFIGURATION:
        stage.exits.append(Exit(member.number, code, member.log[-1] if member.log else ""))
    return started


def kill_broker(stage: Stage, hold: Hold, _: random.Random) -> int:
    """SIGKILL the broker and start it again."""
    with stage.cluster.lock:
        stage.cluster.kafka.kill()
        hold()
        return stage.cluster.start()


def stop_broker(stage: Stage, hold: Hold, _: random.Random) -> int:
    """SIGSTOP the broker."""
    with stage.cluster.lock, stage.cluster.stopped():
        hold()
    return time.time_ns()


def full_disk(stage: Stage, hold: Hold, _: random.Random) -> int:
    """Fill the broker's disk until it halts, then make room and start it again."""
    with stage.cluster.lock:
        stage.cluster.fill_disk()
        hold()
        return stage.cluster.start()


def kill_leader(stage: Stage, hold: Hold, _: random.Random) -> int:
    """SIGKILL the node that leads the predictions' first partition, of three; the others go on without it."""
    return _without_leader(stage, hold, stage.cluster.kafka.kill)


def move_leader(stage: Stage, hold: Hold, _: random.Random) -> int:
    """Shut the same node down in order, so that it hands over what it leads and coordinates."""
    return _without_leader(stage, hold, stage.cluster.kafka.stop)


def _without_leader(stage: Stage, hold: Hold, end: Callable[[int], None]) -> int:
    with stage.cluster.lock:
        node = stage.cluster.leader(stage.wire.predictions)
        end(node)
        ended = time.time_ns()
        hold()
        stage.cluster.kafka.start(node)
        return ended


def cut(stage: Stage, hold: Hold, _: random.Random) -> int:
    """Reset all connections of the classifiers."""
    stage.cluster.proxy.cut()
    hold()
    return time.time_ns()


def stall(stage: Stage, hold: Hold, _: random.Random) -> int:
    """Let no byte through between classifiers and broker, with all connections open."""
    with stage.cluster.proxy.stalled():
        hold()
    return time.time_ns()


def stall_writes(stage: Stage, hold: Hold, _: random.Random) -> int:
    """Hold up predictions while all else flows."""
    with stage.cluster.proxy.writes_stalled():
        hold()
    return time.time_ns()


def kill_unwritten(stage: Stage, hold: Hold, generator: random.Random) -> int:
    """SIGKILL one classifier whose predictions trickle while all else flows: what it commits too early is lost."""
    member = generator.choice(stage.members)
    with member.lock:
        with stage.cluster.proxy.writes_slowed(TRICKLE_S):
            hold()
            member.kill()
        return member.start()


def slow(stage: Stage, hold: Hold, _: random.Random) -> int:
    """Delay and throttle what flows between classifiers and broker."""
    with stage.cluster.proxy.slowed(SLOW_S, SLOW_BYTES_PER_S):
        hold()
    return time.time_ns()


def join_and_leave(stage: Stage, hold: Hold, _: random.Random) -> int:
    """Let one more classifier join the group, and leave it."""
    guest = stage.guest()
    guest.start()
    try:
        guest.wait_for_partitions(JOIN_S)
        hold()
    finally:
        stage.stop_member(guest)
    return time.time_ns()


FAULTS: Mapping[str, Fault] = {
    "kill-classifier": Fault(kill_classifier, 0.0),
    "stop-classifier": Fault(stop_classifier, 8.0),
    "zombie": Fault(zombie, 3.0, named=True),
    "kill-broker": Fault(kill_broker, 0.0),
    "stop-broker": Fault(stop_broker, 5.0),
    "full-disk": Fault(full_disk, 1.0, available=CAN_FILL_DISK),
    "kill-leader": Fault(kill_leader, 2.0, nodes=3),
    "move-leader": Fault(move_leader, 2.0, nodes=3),
    "cut": Fault(cut, 0.0, proxied=True),
    "stall": Fault(stall, 5.0, proxied=True),
    "stall-writes": Fault(stall_writes, 3.0, proxied=True),
    "kill-unwritten": Fault(kill_unwritten, 1.0, proxied=True),
    "slow": Fault(slow, 5.0, proxied=True),
    "join-and-leave": Fault(join_and_leave, 0.3),
}
POISON = "poison"
"""Not a fault in time: so many of the requests cannot be answered."""
