"""Good requests among many bad ones over a real Kafka: `python -m tests.system.fuzz --good 10000 --bad 100000`.

Every bad record carries a mark, so that each dead letter can be told from the others; exits with 1 when a good record
is not answered, a bad one not dead-lettered just once, or the classifier's memory has grown.
"""

import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from confluent_kafka import Consumer, Producer, TopicPartition

from edge.images import load_images
from edge.pubsub import connect
from edge.recordbatch import CODEC, RECORD_COUNT
from localkafka import LocalKafka
from tests.corpora import bad_requests
from tests.paths import IMAGES
from tests.system.processes import Process, wait_until
from tests.system.raw import GZIP, Connection, batch, field, fields, varint
from tests.system.wire import Wire, wire_on

MAX_GROWTH_BYTES = 50 * 1024 * 1024
WARM_UP = 200
RawHeaders = list[tuple[bytes, bytes | None]]

NPY, JSON = (b"content-type", b"application/x-npy"), (b"content-type", b"application/json")
_MARK = re.compile(rb"fuzz-(\d+);")
_NPY = b"\x93NUMPY\x01\x00%c\x00{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"
IMAGE = load_images(IMAGES).image[0].tobytes()


def npy(descr: bytes = b"|u1", fortran: bytes = b"False", shape: bytes = b"(28, 28)", data: bytes = IMAGE) -> bytes:
    """An npy file, sound by default."""
    size = len(_NPY % (0, descr, fortran, shape)) - 10
    return _NPY % (size, descr, fortran, shape) + data


def pixels(*rows: object) -> bytes:
    return json.dumps(rows or [[7] * 28] * 28).encode()


GOOD: list[tuple[bytes, RawHeaders]] = [(IMAGE, []), (npy(), [NPY]), (pixels(), [JSON])]

Make = Callable[[random.Random], tuple[bytes | None, RawHeaders]]
BAD: list[Make] = [
    lambda r: (r.randbytes(r.choice([0, 1, 783, 785, r.randrange(784)])), []),
    lambda r: (None, []),
    lambda r: (r.randbytes(r.randrange(2000)), [NPY]),
    lambda r: (npy()[: r.randrange(800)], [NPY]),
    lambda r: (npy(r.choice([b"<f8", b"|O", b">u2", b"|S1", b"__import__('os')"])), [NPY]),
    lambda r: (npy(shape=r.choice([b"(999999999, 999999999)", b"(28,)", b"()", b"(28, 29)", b"(-28, -28)"])), [NPY]),
    lambda r: (npy(fortran=r.choice([b"True", b"None", b"exit()"])), [NPY]),
    lambda r: (b"\x93NUMPY" + r.randbytes(800), [NPY]),
    lambda r: (pixels()[: r.randrange(2000)], [JSON]),
    lambda r: (b"[" * r.randrange(1, 20_000), [JSON]),
    lambda r: (pixels(*[[r.choice([256, -1, 0.5, True, None, "7", 1e999])] * 28] * 28), [JSON]),
    lambda r: (b"[" + b"9" * r.randrange(1, 5000) + b"]", [JSON]),
    lambda r: (IMAGE, [(b"content-type", r.randbytes(r.randrange(1, 40)))]),
    lambda r: (IMAGE, [(b"content-type", None)]),
    lambda r: (IMAGE, [(b"request-id", b"a"), (b"request-id", b"b")]),
    lambda r: (IMAGE, [(b"request-id", r.choice([b"", None, b"\xff" + r.randbytes(5)]))]),
    lambda r: (IMAGE, [(b"ce_x", bytes(17_000))]) if r.random() < 0.1 else (b"", [(b"ce_x", bytes(100))]),
    lambda r: (IMAGE, [(b"\xff" + r.randbytes(r.randrange(30)), r.randbytes(3))]),
]

CORPUS = [(value, [(name.encode(), content) for name, content in headers]) for _, value, headers in bad_requests()]


@dataclass(frozen=True)
class Plan:
    """How many records of which kind are sent, and from which seed."""

    good: int
    bad: int
    seed: int

    def batches(self) -> Iterator[bytes]:
        """Hand-made batches, gzip or not, of good and bad records in random order."""
        dice = random.Random(self.seed)
        kinds = [True] * self.good + [False] * self.bad
        dice.shuffle(kinds)
        good = bad = position = 0
        while position < len(kinds):
            codec = dice.choice([0, GZIP])
            records: list[bytes] = []
            for is_good in kinds[position : position + dice.randrange(1, 100)]:
                position += 1
                if is_good:
                    value, headers = dice.choice(GOOD)
                    number = [(b"request-id", str(good).encode())]
                    records.append(field(fields(len(records), value, [*headers, *number])))
                    good += 1
                    continue
                mark = (b"mark", b"fuzz-%d;" % bad)
                bad += 1
                if codec == GZIP and dice.random() < 0.05:
                    # The broker looks at no more of a compressed record than at its fields.
                    records.append(varint(dice.choice([0, 5, 9999])) + fields(len(records), b"x", [mark]))
                    break
                records.append(self._bad_record(dice, len(records), mark, codec))
            yield batch(records, codec)

    @staticmethod
    def _bad_record(dice: random.Random, delta: int, mark: tuple[bytes, bytes], codec: int) -> bytes:
        if codec == 0 and dice.random() < 0.05:
            # The broker does not look at the offsets in a batch that is not compressed.
            wrong = delta + dice.choice([1, 1000, -delta - 1])
            return field(fields(wrong, IMAGE, [mark]))
        value, headers = dice.choice(CORPUS) if dice.random() < 0.3 else dice.choice(BAD)(dice)
        key = dice.choice(
            [None, b"device", dice.randbytes(20), dice.randbytes(20_000) if dice.random() < 0.02 else b""]
        )
        return field(fields(delta, value, [*headers, mark], key))


def send(wire: Wire, plan: Plan) -> int:
    """Send all; returns how many records came in batches of codecs that are not read."""
    unread = 0
    producers = [
        Producer({"bootstrap.servers": wire.servers, "compression.type": c}) for c in ("snappy", "lz4", "zstd")
    ]
    with Connection(wire.servers) as connection:
        for number, data in enumerate(plan.batches()):
            error = connection.produce(wire.requests, data)
            assert error == 0, f"the broker refuses a batch with error {error}"
            if number % 20 == 0:
                producer = producers[number // 20 % 3]
                for _ in range(10):
                    producer.produce(wire.requests, bytes(784), partition=0)
                assert producer.flush(30) == 0
                unread += 10
    return unread


def rss_bytes(pid: int, name: str = "VmRSS") -> int:
    """Memory of a process, or its peak as VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


class Reader:
    """Reads one partition from its beginning, as far as it goes."""

    def __init__(self, servers: str, topic: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": servers, "group.id": "fuzz", "enable.auto.commit": False, "log_level": 0}
        )
        self._consumer.assign([TopicPartition(topic, 0, 0)])

    def read(self) -> Iterator[tuple[bytes | None, dict[str, Any]]]:
        """What has come since: value and headers."""
        while messages := self._consumer.consume(5000, 0.2):
            for message in messages:
                assert message.error() is None, message.error()
                yield message.value(), dict(message.headers() or [])

    def close(self) -> None:
        self._consumer.close()


@dataclass
class Outcome:
    """What came back."""

    answered: list[int]
    dead: Counter[int]
    unread: int
    rss_before: int
    rss_after: int
    rss_peak: int
    log_lines: int
    log: str

    def faults(self, plan: Plan, unread: int) -> list[str]:
        """All that went wrong."""
        missing = set(range(plan.bad)) - set(self.dead)
        repeated = [mark for mark, count in self.dead.items() if count > 1]
        checks = {
            "good records are not answered in order, each once": self.answered == list(range(plan.good)),
            f"{len(missing)} bad records have no dead letter, such as {sorted(missing)[:5]}": not missing,
            f"{len(repeated)} bad records have several dead letters, such as {repeated[:5]}": not repeated,
            f"of {unread} records in unread codecs {self.unread} are accounted for": self.unread == unread,
            "the classifier's memory has grown": self.rss_after - self.rss_before <= MAX_GROWTH_BYTES,
            "the classifier logged a traceback": "Traceback" not in self.log,
            f"the classifier logged {self.log_lines} lines": self.log_lines < 200,
        }
        return [fault for fault, is_well in checks.items() if not is_well]


def fuzz(wire: Wire, plan: Plan, deadline_s: float = 60.0) -> tuple[Outcome, list[str]]:
    """Send everything to one classifier, and compare what comes back."""
    with connect(wire.servers) as pubsub:
        pubsub.create_topic(wire.requests, 1, {"compression.type": "producer"})
    answers, dead = Reader(wire.servers, wire.predictions), Reader(wire.servers, wire.dead_letters)
    outcome = Outcome([], Counter(), 0, 0, 0, 0, 0, "")
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: "partitions assigned" in classifier.log, "the classifier's partition")
        with connect(wire.servers) as pubsub:
            for _ in range(WARM_UP):
                pubsub.write(wire.requests, IMAGE, None, [("request-id", b"-1")])
        answered: list[int] = []
        wait_until(lambda: len(_ids(answers, answered, outcome)) >= WARM_UP, "the first answers")
        outcome.rss_before = rss_bytes(classifier.process.pid)
        unread = send(wire, plan)
        expected = plan.good + WARM_UP

        def is_complete() -> bool:
            _count(dead, outcome)
            _ids(answers, answered, outcome)
            return len(answered) >= expected and len(outcome.dead) >= plan.bad and outcome.unread >= unread

        deadline = time.monotonic() + deadline_s
        while not is_complete() and time.monotonic() < deadline and classifier.process.poll() is None:
            pass
        is_alive = classifier.process.poll() is None
        if is_alive:
            outcome.rss_after = rss_bytes(classifier.process.pid)
            outcome.rss_peak = rss_bytes(classifier.process.pid, "VmHWM")
        code = classifier.terminate()
        is_complete()
    answers.close()
    dead.close()
    outcome.answered, outcome.log = answered[WARM_UP:], classifier.log
    outcome.log_lines = len(classifier.errors)
    faults = outcome.faults(plan, unread)
    if not is_alive or code != 0:
        faults.append(f"the classifier ended with {code}:\n{classifier.log[-2000:]}")
    return outcome, faults


def _ids(reader: Reader, answered: list[int], outcome: Outcome) -> list[int]:
    ids = [json.loads(value or b"")["id"] for value, _ in reader.read()]
    named = [name for name in ids if not re.fullmatch(r"in-\w+-\d+-\d+", name)]
    # What came without an id is what librdkafka has unpacked, and kafka-python would not.
    outcome.unread += len(ids) - len(named)
    answered += map(int, named)
    return answered


def _count(reader: Reader, outcome: Outcome) -> None:
    for value, found in reader.read():
        if found.get(CODEC, b"none") in (b"snappy", b"lz4", b"zstd"):
            outcome.unread += int(found[RECORD_COUNT])
            continue
        mark = _MARK.search(found.get("mark") or value or b"")
        assert mark is not None, (value, found)
        outcome.dead[int(mark[1])] += 1


@click.command()
@click.option("--good", default=10_000, show_default=True, help="Requests that must be answered.")
@click.option("--bad", default=100_000, show_default=True, help="Records that must be dead letters.")
@click.option("--seed", default=1, show_default=True)
def main(good: int, bad: int, seed: int) -> None:
    """Send good requests among bad records to a classifier, and say what became of them."""
    started = time.monotonic()
    plan = Plan(good, bad, seed)
    with LocalKafka() as broker:
        outcome, faults = fuzz(wire_on(broker), plan, deadline_s=600)
    mb = 1024 * 1024
    click.echo(f"good: {good} sent, {len(outcome.answered)} answered")
    click.echo(f"bad: {bad} sent, {len(outcome.dead)} dead letters; {outcome.unread} records more in unread codecs")
    click.echo(
        f"RSS: {outcome.rss_before / mb:.0f} MB before, {outcome.rss_after / mb:.0f} MB after, "
        f"{outcome.rss_peak / mb:.0f} MB at its peak; {outcome.log_lines} lines logged; "
        f"{time.monotonic() - started:.0f} s"
    )
    for fault in faults:
        click.echo(f"FAULT: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
