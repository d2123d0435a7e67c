"""A classifier in some interpreter, asked over a real broker: what it answered, and the memory that it took."""

import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.usage import peak_rss_bytes
from edge.codec import decode_prediction
from edge.images import Images
from edge.model import load_model
from localkafka import LocalKafka
from tests.paths import LENET, ROOT
from tests.system.wire import Wire, requests, wire_on

DEADLINE_S, END_S, LOOK_S = 180.0, 60.0, 0.5
GUEST_END = 1 << 40
"""QEMU maps an emulated program below this address, and itself far above."""

_MAPPING = re.compile(r"([0-9a-f]+)-[0-9a-f]+ ")


@dataclass(frozen=True)
class Served:
    """What came of some requests; `wrong` were answered with another class than in this interpreter.

    `guest_rss_bytes` is the most that was seen resident without QEMU's own memory; it means nothing without QEMU.
    """

    asked: int
    lost: int
    duplicated: int
    wrong: int
    dead_letters: int
    peak_rss_bytes: int
    guest_rss_bytes: int
    exit_code: int

    @property
    def is_good(self) -> bool:
        """Whether each request was answered once, as here, and the classifier ended in order."""
        return not (self.lost or self.duplicated or self.wrong or self.dead_letters or self.exit_code)


def serve(python: Path, environment: Mapping[str, str], broker: LocalKafka, images: Images, count: int) -> Served:
    """Let `python -m edge.classifier` answer the first `count` images over fresh topics, and end it as systemd does."""
    wire = wire_on(broker)
    wire.create()
    wire.send(requests(images, count))
    command = [str(python), "-m", "edge.classifier", *wire.classifier]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            guest_bytes = _await(wire, count, process)
            peak_bytes = peak_rss_bytes(process.pid) or 0
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(END_S)
        except BaseException:
            process.kill()
            raise
    return _judged(wire, images, count, (peak_bytes, guest_bytes), exit_code)


def guest_rss_bytes(pid: int) -> int:
    """The resident memory of the program that a QEMU process emulates, its libraries included."""
    rss_bytes, is_guest = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if found := _MAPPING.match(line):
            is_guest = int(found[1], 16) < GUEST_END
        elif is_guest and line.startswith("Rss:"):
            rss_bytes += int(line.split()[1]) * 1024
    return rss_bytes


def _await(wire: Wire, count: int, process: subprocess.Popen[bytes]) -> int:
    """Wait until so many predictions are there, the process has ended by itself, or it is too late.

    Returns the most resident memory of the guest that was seen.
    """
    deadline, most_bytes = time.monotonic() + DEADLINE_S, 0
    while process.poll() is None and time.monotonic() < deadline:
        most_bytes = max(most_bytes, guest_rss_bytes(process.pid))
        if len(wire.predicted()) >= count:
            break
        time.sleep(LOOK_S)
    return most_bytes


def _judged(wire: Wire, images: Images, count: int, rss_bytes: tuple[int, int], exit_code: int) -> Served:
    answers = [decode_prediction(record) for record in wire.predicted()]
    times = Counter(answer.id for answer in answers)
    model = load_model(LENET)
    classes = model.infer(images.image[:count].reshape(-1, *model.contract.shape)).argmax(axis=1)
    return Served(
        asked=count,
        lost=len({str(number) for number in range(count)} - set(times)),
        duplicated=sum(n - 1 for n in times.values()),
        wrong=sum(answer.class_index != classes[int(answer.id)] for answer in answers),
        dead_letters=len(wire.dead()),
        peak_rss_bytes=rss_bytes[0],
        guest_rss_bytes=rss_bytes[1],
        exit_code=exit_code,
    )
