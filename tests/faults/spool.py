"""Kills query apps that have a spool, with and without a broker, and judges: `python -m tests.faults.spool`."""

import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.apps import unwind_on_sigterm
from edge import cli
from edge.images import load_images
from edge.pubsub import CLIENTS
from edge.records import Record
from localkafka import LocalKafka
from localkafka.ports import free_port
from tests.paths import IMAGES
from tests.recorder import read_all
from tests.system.processes import Process

TOPIC = "spooled"
INTERVAL_S = 0.001
DEADLINE_S = 600.0
LOOK_S = 0.02


@dataclass(frozen=True)
class Plan:
    """What each device does: so many images, and so many kills; the first half of these while no broker is there."""

    images: int = 5000
    kills: int = 10
    outages: int = 2
    seed: int = 1
    clients: tuple[str, ...] = CLIENTS


@dataclass
class Device:
    """One query app after another on one spool; `accepted` are the ids that they printed, in order."""

    name: str
    client: str
    spool: Path
    accepted: list[str] = field(default_factory=list)
    killed: int = 0
    ending: str = "it did not end"

    def run(self, plan: Plan, servers: str, has_broker: threading.Event) -> None:
        """Kill it as planned, and let the last one come to its end, which is when its spool is empty."""
        moments = random.Random(f"{plan.seed} {self.name}")
        share = plan.images // (plan.kills + 1)
        while self.killed < plan.kills:
            if self.killed == plan.kills // 2:
                has_broker.wait(DEADLINE_S)
            with self._start(servers) as app:
                wanted = moments.randint(share // 2, share)
                deadline = time.monotonic() + DEADLINE_S
                while len(app.lines) < wanted and app.process.poll() is None and time.monotonic() < deadline:
                    time.sleep(LOOK_S)
                time.sleep(moments.uniform(0, 0.1))
                app.kill()
            self._take(app.lines)
            if app.process.returncode != -9:
                self.ending = f"one ended by itself: {app.log}"
                return
            self.killed += 1
        rest = max(1, plan.images - len(self.accepted))
        with self._start(servers, "--limit", str(rest)) as app:
            code = app.process.wait(DEADLINE_S)
        self._take(app.lines)
        self.ending = "" if code == 0 else f"the last one ended with {code}: {app.log}"

    def _take(self, lines: Sequence[str]) -> None:
        # The last line may have been cut.
        self.accepted += [line for line in lines if len(line) == 32]

    def _start(self, servers: str, *options: str) -> Process:
        return Process(
            "edge.query", "--bootstrap-servers", servers, "--request-topic", TOPIC, "--partitions", "3",
            "--device", self.name, "--client", self.client, "--spool", str(self.spool), "--print-ids",
            "--interval", str(INTERVAL_S), *options,
        )  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of one device's images; `lost` were accepted and did not arrive."""

    device: Device
    lost: int
    is_in_order: bool
    foreign: int
    duplicates: int
    unreported: int

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.foreign or self.device.ending) and self.is_in_order

    def __str__(self) -> str:
        device = self.device
        return (
            f"{device.name:20} {device.killed} kills, {len(device.accepted)} accepted, {self.lost} lost, "
            f"{'in order' if self.is_in_order else 'OUT OF ORDER'}, {self.duplicates} duplicates, "
            f"{self.unreported} stored and killed before they were reported, {self.foreign} foreign "
            f"{device.ending}"
        )


def judge(device: Device, records: Sequence[Record]) -> Verdict:
    """Compare what a device reported with what arrived, in the order of its partition."""
    own = [record for record in records if record.key == device.name.encode()]
    arrived = [next(value or b"" for name, value in record.headers if name == "request-id").decode() for record in own]
    firsts = list(dict.fromkeys(arrived))
    reported, known = set(device.accepted), {image.tobytes() for image in load_images(IMAGES).image}
    return Verdict(
        device,
        lost=len(reported - set(firsts)) + len(device.accepted) - len(reported),
        is_in_order=[name for name in firsts if name in reported] == [n for n in device.accepted if n in set(firsts)],
        foreign=sum(record.value not in known for record in own),
        duplicates=sum(Counter(arrived).values()) - len(firsts),
        unreported=len(set(firsts) - reported),
    )


def run(plan: Plan, directory: Path) -> list[Verdict]:
    """Run the plan, one device for each client at the same time."""
    broker = LocalKafka(port=free_port())
    try:
        return _run(plan, broker, directory)
    finally:
        broker.close()


def _run(plan: Plan, broker: LocalKafka, directory: Path) -> list[Verdict]:
    devices = [Device(f"camera-{client}", client, directory / client) for client in plan.clients]
    has_broker = threading.Event()
    arguments = (plan, broker.bootstrap_servers, has_broker)
    threads = [threading.Thread(target=device.run, args=arguments) for device in devices]
    for thread in threads:
        thread.start()
    _wait_for_kills(devices, plan, 0)
    broker.start()
    has_broker.set()
    for outage in range(1, plan.outages):
        _wait_for_kills(devices, plan, 2 * outage - 1)
        broker.kill()
        _wait_for_kills(devices, plan, 2 * outage)
        broker.start()
    for thread in threads:
        thread.join()
    records = read_all(broker.bootstrap_servers, TOPIC)
    return [judge(device, records) for device in devices]


def _wait_for_kills(devices: Sequence[Device], plan: Plan, more: int) -> None:
    """Wait until each device has the kills of its first half, and so many more."""
    kills, deadline = min(plan.kills, plan.kills // 2 + more), time.monotonic() + DEADLINE_S
    while any(device.killed < kills for device in devices) and time.monotonic() < deadline:
        if any(device.ending != Device.ending for device in devices):
            return
        time.sleep(LOOK_S)


@click.command(context_settings={"show_default": True})
@click.option("--images", type=click.IntRange(100), default=Plan.images, help="Of each device, at least.")
@click.option("--kills", type=click.IntRange(1), default=Plan.kills, help="Of each device's query app.")
@click.option("--outages", type=click.IntRange(1), default=Plan.outages, help="How often there is no broker.")
@click.option("--seed", type=int, default=Plan.seed, help="Of the moments of kills.")
def main(images: int, kills: int, outages: int, seed: int) -> None:
    """Two devices, one for each Kafka client, sense into spools and are killed; a broker comes and goes.

    Exits with 1 when an image that was reported as accepted did not arrive, or not in order.
    """
    unwind_on_sigterm()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        verdicts = run(Plan(images, kills, outages, seed), Path(directory))
    for verdict in verdicts:
        click.echo(str(verdict))
    is_good = all(verdict.is_good for verdict in verdicts)
    click.echo(f"{'OK' if is_good else 'FAILED'} after {time.monotonic() - started:.0f} s")
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    cli.run(main, "tests.faults.spool")
