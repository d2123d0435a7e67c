"""What so many images a second would take, computed from what was measured: `python -m bench.plan`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bench import result
from bench.grid import Grid
from bench.result import leaves
from bench.spread import is_spread, number
from edge import cli
from edge.errors import BadDataError

CAVEATS = (
    "Measured with broker, classifier and bench on one machine: a core of another kind does more or less.",
    "A batch travels as it is stored; what requests and answers of the protocol add is not counted.",
    "A follower's copy is taken to cost its broker as much CPU as the first writing of a request.",
    "Not counted: TLS, compression, controllers, and what many partitions cost (bench.scaling --over partitions).",
)


@dataclass(frozen=True)
class Number:
    """One number of the plan, and where it comes from: a file and a key, an option, or other numbers by name."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Assumed:
    """What nobody has measured: options of the command, with what they stand for."""

    rate: float
    headroom: float
    replication: int
    retention_hours: float
    device_cores: int
    broker_cores: int
    broker_gbit_per_s: float
    broker_disk_tb: float


@click.command(epilog="Example: python -m bench.plan throughput.json --rate 1000000")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="THROUGHPUT.json…")
@click.option("--rate", type=cli.Finite(min=1), default=1e6, show_default=True, help="Images a second.")
@click.option(
    "--headroom",
    type=cli.Finite(min=1),
    default=1.5,
    show_default=True,
    help="How much more than the rate all must be able to do: for catching up, and for what fails.",
)
@click.option("--replication", type=click.IntRange(1, 10), default=3, show_default=True, help="Copies of each record.")
@click.option("--retention-hours", type=cli.Finite(min=0.01), default=24.0, show_default=True, help="How long kept.")
@click.option("--device-cores", type=click.IntRange(1), default=4, show_default=True, help="Cores of one device.")
@click.option("--broker-cores", type=click.IntRange(1), default=16, show_default=True, help="Cores of one broker.")
@click.option(
    "--broker-gbit", type=cli.Finite(min=0.01), default=10.0, show_default=True, help="One broker's network, Gbit/s."
)
@click.option(
    "--broker-disk-tb", type=cli.Finite(min=0.001), default=20.0, show_default=True, help="One broker's disks, TB."
)
@result.output_option("plan.json")
@cli.verbose
def main(
    files: Sequence[Path],
    rate: float,
    headroom: float,
    replication: int,
    retention_hours: float,
    device_cores: int,
    broker_cores: int,
    broker_gbit: float,
    broker_disk_tb: float,
    output: Path,
) -> None:
    """Compute how many partitions, processes, devices and brokers a rate takes, and what network and disk.

    Each number is printed with its source: a file and the key in it, or the option by which it was assumed.
    """
    assumed = Assumed(
        rate, headroom, replication, retention_hours, device_cores, broker_cores, broker_gbit, broker_disk_tb
    )
    measured = [(path.name, result.read(path)) for path in files]
    numbers = plan(Measured(measured), assumed)
    found = {"numbers": [asdict(one) for one in numbers], "caveats": list(CAVEATS)}
    click.echo(grid(found).text())
    configuration = {**asdict(assumed), "files": {name: _about(found) for name, found in measured}}
    result.write(output, result.document("plan", configuration, found))


class Measured:
    """The numbers in some results, each of which is asked for by its key; the first file that has it gives it."""

    def __init__(self, files: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self._files = [(name, dict(leaves(found.get("results", {})))) for name, found in files]

    def find(self, key: str) -> tuple[float, str]:
        """A number, of a spread its median, and its source.

        Raises: BadDataError when no file has it.
        """
        for name, values in self._files:
            value = values.get(key)
            if value is not None:
                middle = is_spread(value)
                return float(value["median"] if middle else value), f"{name}: {key}{'.median' if middle else ''}"
        names = ", ".join(name for name, _ in self._files)
        raise BadDataError(
            f"{key!r} is in none of {names}: measure it with python -m bench.throughput, on a broker of its own"
        )


def _about(found: Mapping[str, Any]) -> dict[str, Any]:
    """What must be known of a file to judge a plan from it."""
    return {key: found.get(key) for key in ("benchmark", "date", "commit", "machine", "versions", "configuration")}


class _Sheet:
    """The plan as it is computed: a number is added by what it comes from, and used by its name."""

    def __init__(self, measured: Measured) -> None:
        self.numbers: dict[str, Number] = {}
        self._measured = measured

    def __getitem__(self, name: str) -> float:
        return self.numbers[name].value

    def assume(self, name: str, value: float, unit: str, option: str) -> None:
        """A number that the command was given."""
        self.numbers[name] = Number(name, value, unit, f"assumed: {option}")

    def measure(self, name: str, key: str, unit: str) -> None:
        """A number out of a result."""
        value, source = self._measured.find(key)
        self.numbers[name] = Number(name, value, unit, source)

    def compute(self, name: str, value: float, unit: str, source: str) -> None:
        """A number that follows from others."""
        self.numbers[name] = Number(name, value, unit, source)


def plan(measured: Measured, assumed: Assumed) -> list[Number]:
    """All numbers of the plan, each after those that it is computed from.

    Raises: BadDataError when a number was not measured.
    """
    sheet = _Sheet(measured)
    sheet.assume("rate", assumed.rate, "images/s", "--rate")
    sheet.assume("headroom", assumed.headroom, "", "--headroom")
    sheet.compute("planned", assumed.rate * assumed.headroom, "images/s", "rate x headroom")
    _classifiers(sheet, assumed)
    _network(sheet, assumed)
    _brokers(sheet, assumed)
    _clients(sheet)
    return list(sheet.numbers.values())


def _classifiers(sheet: _Sheet, assumed: Assumed) -> None:
    sheet.measure("one process", "classifier[1].images_per_s", "images/s")
    sheet.measure("CPU of 1,000 images", "classifier[1].cpu_s_per_1000", "s")
    sheet.measure("memory of a process", "classifier[1].rss_peak_bytes", "bytes")
    processes = math.ceil(sheet["planned"] / sheet["one process"])
    sheet.compute("processes", processes, "", "planned / one process")
    sheet.compute("partitions", processes, "of each topic", "one for each process of the group")
    sheet.compute("cores", sheet["planned"] * sheet["CPU of 1,000 images"] / 1000, "", "planned x CPU of 1,000 / 1,000")
    sheet.assume("cores of a device", assumed.device_cores, "", "--device-cores")
    devices = math.ceil(sheet["cores"] / assumed.device_cores)
    sheet.compute("devices", devices, "", "cores / cores of a device")
    memory = math.ceil(processes / devices) * sheet["memory of a process"] / 1e9
    sheet.compute("memory of a device", memory, "GB", "processes / devices x memory of a process")


def _network(sheet: _Sheet, assumed: Assumed) -> None:
    sheet.measure("request", "wire.request_log_bytes", "bytes")
    sheet.measure("prediction", "wire.prediction_log_bytes", "bytes")
    sheet.assume("replication", assumed.replication, "copies", "--replication")
    once = sheet["planned"] * (sheet["request"] + sheet["prediction"]) * 8 / 1e9
    sheet.compute("in from clients", once, "Gbit/s", "planned x (request + prediction)")
    sheet.compute("between brokers", once * (assumed.replication - 1), "Gbit/s", "in from clients x (replication - 1)")
    sheet.compute("out to clients", once, "Gbit/s", "planned x (request to classifiers + prediction to consumers)")
    sheet.assume("retention", assumed.retention_hours, "h", "--retention-hours")
    stored = assumed.rate * (sheet["request"] + sheet["prediction"]) * assumed.replication
    kept = stored * assumed.retention_hours * 3600 / 1e12
    sheet.compute("disk", kept, "TB", "rate x (request + prediction) x replication x retention")


def _brokers(sheet: _Sheet, assumed: Assumed) -> None:
    sheet.measure("broker, 1,000 requests written", "wire.writing_requests.broker_cpu_s_per_1000", "s of CPU")
    sheet.measure("broker, 1,000 images answered", "classifier[1].broker_cpu_s_per_1000", "s of CPU")
    sheet.measure("broker, 1,000 predictions read", "wire.reading_predictions.broker_cpu_s_per_1000", "s of CPU")
    written = sheet["broker, 1,000 requests written"]
    all_once = written + sheet["broker, 1,000 images answered"] + sheet["broker, 1,000 predictions read"]
    copies = 2 * (assumed.replication - 1) * written
    cores = sheet["planned"] * (all_once + copies) / 1000
    source = "planned x (written + answered + read + 2 x (replication - 1) x written) / 1,000"
    sheet.compute("cores of all brokers", cores, "", source)
    sheet.assume("cores of a broker", assumed.broker_cores, "", "--broker-cores")
    sheet.assume("network of a broker", assumed.broker_gbit_per_s, "Gbit/s", "--broker-gbit")
    sheet.assume("disk of a broker", assumed.broker_disk_tb, "TB", "--broker-disk-tb")
    busiest = max(sheet["in from clients"], sheet["out to clients"]) + sheet["between brokers"]
    sheet.compute("brokers by CPU", math.ceil(cores / assumed.broker_cores), "", "cores of all / cores of one")
    network = math.ceil(busiest / assumed.broker_gbit_per_s)
    sheet.compute("brokers by network", network, "", "(in or out + between brokers) / network of one")
    sheet.compute("brokers by disk", math.ceil(sheet["disk"] / assumed.broker_disk_tb), "", "disk / disk of one")
    most = max(assumed.replication, *(sheet[f"brokers by {what}"] for what in ("CPU", "network", "disk")))
    sheet.compute("brokers", most, "", "the most of these, and of replication")
    each = math.ceil(2 * sheet["partitions"] * assumed.replication / most)
    sheet.compute("partitions of a broker", each, "with copies", "2 x partitions x replication / brokers")


def _clients(sheet: _Sheet) -> None:
    """Both ends, as measured on the bench's own: Python on librdkafka."""
    for end, key in (("writing requests", "writing_requests"), ("reading predictions", "reading_predictions")):
        sheet.measure(f"CPU of 1,000, {end}", f"wire.{key}.client_cpu_s_per_1000", "s")
        cores = sheet["planned"] * sheet[f"CPU of 1,000, {end}"] / 1000
        sheet.compute(f"cores {end}", cores, "", f"planned x CPU of 1,000, {end} / 1,000")


def grid(results: Mapping[str, Any]) -> Grid:
    """The plan for people."""
    rows = [[one["name"], number(one["value"]), one["unit"], one["source"]] for one in results["numbers"]]
    return Grid(["", "", "unit", "from"], rows, results["caveats"], words=2)


if __name__ == "__main__":
    cli.run(main, "bench.plan")
