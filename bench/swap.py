"""Replaces the model of a classifier under load, again and again, and judges every answer: `python -m bench.swap`."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from bench import result
from bench.apps import App, broker, unwind_on_sigterm
from bench.grid import Grid
from bench.group import CLASSIFIER, delivery_options, loaded, topic_options
from bench.load.driver import Driver, Topics
from bench.load.schedule import constant
from bench.load.trace import Trace
from bench.options import Setup, of_classifiers
from bench.swapped import Replacement, Swap, replacements, results
from bench.systems import create_topics
from bench.usage import peak_rss_bytes, usage
from edge import cli
from edge.cluster import Cluster
from edge.images import Images

TOLD = {"now serving ": True, "the new model is refused": False}
"""What the classifier logs of a new file, and whether it serves it."""
_SETTLE_S = 0.5
_WARM_UP_S = 1.0
_GRACE_S = 10.0


@dataclass(frozen=True)
class Load:
    """How often requests come and models are replaced: each time after `quiet_s` without, all at the same pace."""

    rate_per_s: float
    interval_s: float
    quiet_s: float

    @property
    def slot_s(self) -> float:
        """From one replacement to the next: quiet, two looks at the file, and what comes behind."""
        return self.quiet_s + 2 * self.interval_s + _SETTLE_S


@click.command(epilog="Example: python -m bench.swap --swaps 20 --bad 3")
@click.option("--swaps", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many files are put in.")
@click.option(
    "--bad", type=click.IntRange(min=0), default=3, show_default=True, help="So many of them must be refused."
)
@click.option("--rate", type=cli.Finite(min=1), default=200.0, show_default=True, help="Requests a second.")
@click.option(
    "--interval", type=cli.Finite(min=0.05), default=0.2, show_default=True, help="The classifier's --watch-model."
)
@click.option(
    "--quiet", type=cli.Finite(min=0.5), default=1.5, show_default=True, help="Seconds before each, to compare with."
)
@click.option(
    "--within",
    type=cli.Finite(min=1),
    default=2.0,
    show_default=True,
    help="The p99 during a swap may be so many times that of the time before.",
)
@of_classifiers("swap.json")
def main(swaps: int, bad: int, rate: float, interval: float, quiet: float, within: float, setup: Setup) -> None:
    """Send requests at a fixed rate while the model file is replaced, and look at who answered what.

    The files are variants of the model whose answers differ for every image, so that an answer shows who made it; bad
    ones are cut off, answer otherwise than at their export, or take other images. Exits with 1 when a request is lost,
    an answer is under a wrong name, a file is wrongly taken or refused, or the p99 during a swap is too high.
    """
    unwind_on_sigterm()
    if bad > swaps:
        raise click.UsageError("--bad counts files among the --swaps")
    model, images = loaded(setup)
    data = setup.model.read_bytes()
    files, load = replacements(data, swaps, bad), Load(rate, interval, quiet)
    click.echo(f"{swaps} files in {swaps * load.slot_s:.0f} s, at {rate:g} requests/s", err=True)
    with broker(setup.cluster) as cluster, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        trace, done, memory = _run(cluster, setup, images, path, files, load)
    found = {**results(trace, done, [data, *(file.data for file in files)], images, interval, within), **memory}
    click.echo(grid(found).text())
    configuration = {
        **vars(load),
        **{"swaps": swaps, "bad": bad, "within": within, "model_sha256": model.sha256},
        **setup.configuration,
    }
    result.write(setup.output, result.document("swap", configuration, found))
    if missed := [bar["bar"] for bar in found["bars"] if not bar["is_kept"]]:
        click.echo(f"missed: {'; '.join(missed)}", err=True)
        raise click.exceptions.Exit(1)


def grid(found: Mapping[str, Any]) -> Grid:
    """The result for people."""
    rows = [
        [bar["bar"], f"{bar['found']:.4g}" if bar["found"] is not None else "-", bar["needed"]] for bar in found["bars"]
    ]
    for name in ("before_ms", "during_ms"):
        rows += [[f"{name[:-3]}: {key}, ms", f"{value:.2f}", ""] for key, value in found[name].items()]
    for name in ("rss_before_bytes", "rss_after_bytes", "rss_peak_bytes"):
        if found[name] is not None:
            rows.append([f"memory {name[4:-6]}, MB", f"{found[name] / 1e6:.1f}", ""])
    rows.append(["from a file's replacement to its model's serving, s (largest)", f"{found['takes_over_s']:.2f}", ""])
    return Grid(["", "found", "needed"], rows, words=1)


def _run(
    cluster: Cluster, setup: Setup, images: Images, path: Path, files: Sequence[Replacement], load: Load
) -> tuple[Trace, list[Swap], dict[str, Any]]:
    name = f"bench_swap_{time.time_ns()}"
    topics = Topics(f"{name}_requests", f"{name}_predictions")
    create_topics(cluster, topics)
    driver = Driver(cluster, topics, images)
    driver.start()
    options = [*setup.extra, "--model", str(path), "--watch-model", str(load.interval_s)]
    every = [*options, *topic_options(topics.requests, topics.predictions), *delivery_options(setup.delivery, 0)]
    with App(cluster, CLASSIFIER, *every, stderr=subprocess.PIPE) as app:
        swapper = _Swapper(app, path, files, load)
        try:
            driver.warm_up(app, load.rate_per_s, _WARM_UP_S)
            before = usage(app.process.pid).rss_bytes
            swapper.start()
            trace = driver.run(constant(load.rate_per_s, len(files) * load.slot_s, 0), _GRACE_S)
            swapper.join()
            app.check()
            memory = {
                "rss_before_bytes": before,
                "rss_after_bytes": usage(app.process.pid).rss_bytes,
                "rss_peak_bytes": peak_rss_bytes(app.process.pid),
            }
        finally:
            driver.close()
            app.stop()
            swapper.end()
    return trace, swapper.done, memory


class _Swapper(threading.Thread):
    """Puts one file after the other in the served one's place, and notes what the classifier says of each."""

    def __init__(self, app: App, path: Path, files: Sequence[Replacement], load: Load) -> None:
        super().__init__(daemon=True)
        self.done: list[Swap] = []
        self._path = path
        self._files = files
        self._load = load
        self._told: list[tuple[float, bool]] = []
        self._is_ended = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(app.process.stderr,), daemon=True)
        self._reader.start()

    def run(self) -> None:
        """At the pace of the load, whatever the classifier says."""
        start = time.perf_counter()
        for number, file in enumerate(self._files):
            other = self._path.with_suffix(f".{number}")
            other.write_bytes(file.data)
            self._sleep_until(start + number * self._load.slot_s + self._load.quiet_s)
            known, begun_s = len(self._told), time.perf_counter()
            other.replace(self._path)
            self._sleep_until(start + (number + 1) * self._load.slot_s)
            self.done.append(Swap(file, begun_s, self._load.quiet_s, self._told[known:]))

    def end(self) -> None:
        """Stop, and let go of the log, once the classifier has ended."""
        self._is_ended.set()
        self._reader.join()

    def _sleep_until(self, time_s: float) -> None:
        self._is_ended.wait(max(0.0, time_s - time.perf_counter()))

    def _read(self, lines: IO[bytes]) -> None:
        """Pass on what the classifier logs, and note when it says what it does with a file."""
        with lines:
            for line in lines:
                now, text = time.perf_counter(), line.decode(errors="replace")
                self._told += [(now, is_served) for said, is_served in TOLD.items() if said in text]
                sys.stderr.write(text)


if __name__ == "__main__":
    cli.run(main, "bench.swap")
