"""What requests and predictions cost beside the group that answers: on the wire, on the broker, and at both ends."""

import time
from collections.abc import Callable, Sequence

from bench.group import Bench, Work, created
from bench.load import drain
from localkafka import LocalKafka

_READ_S = 1.0


def timed(bench: Bench, step: Callable[[], int]) -> dict[str, float]:
    """How many records a second a step of this process handles, and CPU for 1,000: its own, and of our own broker.

    The step returns how many they were.
    """
    wall_s, own_s, broker_s = time.perf_counter(), time.process_time(), bench.broker_cpu_s()
    count = step()
    wall_s, own_s = time.perf_counter() - wall_s, time.process_time() - own_s
    found = {"records_per_s": count / wall_s, "client_cpu_s_per_1000": own_s / count * 1000}
    if bench.broker_pid is not None:
        found["broker_cpu_s_per_1000"] = (bench.broker_cpu_s() - broker_s) / count * 1000
    return found


def written(bench: Bench, values: Sequence[bytes], requests: int, partitions: int) -> tuple[Work, dict[str, float]]:
    """A preloaded topic, and what writing it took."""
    work = created(bench, requests, partitions)

    def step() -> int:
        drain.preload(bench.cluster, work.topic, values, requests, partitions)
        return requests

    return work, timed(bench, step)


def read(bench: Bench, topic: str) -> dict[str, float]:
    """What reading a topic takes that is written to its end; it is read again until that has taken some time."""

    def step() -> int:
        count, deadline = 0, time.monotonic() + _READ_S
        while time.monotonic() < deadline:
            count += sum(1 for _ in finish.read())
        return count

    with drain.Finish(bench.cluster, topic) as finish:
        return timed(bench, step)


def log_bytes(kafka: LocalKafka, topic: str) -> int:
    """How much the broker keeps of a topic; what has just been written is there though maybe not on the disk."""
    # The name ends with the partition's number.
    folders = [path.parent for path in kafka.directory.rglob("*.log") if path.parent.name.rpartition("-")[0] == topic]
    return sum(path.stat().st_size for folder in set(folders) for path in folder.glob("*.log"))
