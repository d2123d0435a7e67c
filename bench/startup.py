"""How soon a classifier answers after its start, and what it takes while it waits: `python -m bench.startup`."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

import click
from confluent_kafka import Consumer, TopicPartition

from bench import result
from bench.apps import ROOT, App, broker_process, unwind_on_sigterm
from bench.errors import AppError
from bench.grid import Grid
from bench.group import CLASSIFIER, Bench, Work, delivery_options, loaded, preloaded, topic_options
from bench.load import drain
from bench.load.driver import START_TIMEOUT_S
from bench.options import Setup, of_classifiers
from bench.spread import shown, spreads
from bench.usage import usage
from edge import cli
from edge.cluster import Cluster
from edge.confluent_options import connection_options

MARKS = {"loaded ": "model_ready_s", "partitions assigned: bench": "assigned_s"}
"""What the classifier logs, and the name of the time at which it does."""
BARS = {"first_prediction_s": 1.5, "idle_rss_bytes": 100e6, "idle_cpu_share": 0.01}
"""What is aimed at: at most so much."""
TITLES = {
    "interpreter_s": "bare Python, start to end, s",
    "import_s": "the classifier's imports, s",
    "model_ready_s": "exec to model ready, s",
    "assigned_s": "exec to partitions assigned, s",
    "first_prediction_s": "exec to first prediction, s",
    "warm_rss_bytes": "memory after the warm-up, MB",
    "idle_rss_bytes": "memory while idle, MB",
    "idle_cpu_share": "CPU while idle, % of a core",
}
_SCALES = {"warm_rss_bytes": 1e-6, "idle_rss_bytes": 1e-6, "idle_cpu_share": 100}
_IMPORTS = "import time; t = time.perf_counter(); import edge.classifier; print(time.perf_counter() - t)"
_QUIET_S = 2.0


@click.command(epilog="Example: python -m bench.startup --rounds 3")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="How often it is started.")
@click.option("--idle", type=cli.Finite(min=1), default=20.0, show_default=True, help="Seconds idle in each round.")
@click.option(
    "--warm-up", type=click.IntRange(min=1), default=5000, show_default=True, help="Requests answered before idling."
)
@of_classifiers("startup.json")
def main(rounds: int, idle: float, warm_up: int, setup: Setup) -> None:
    """Start a classifier on a running broker where a request waits, and time it from exec to the prediction's arrival.

    Files are in the system's cache, as they are when a service is restarted; options after -- go to the classifier.
    """
    unwind_on_sigterm()
    _, images = loaded(setup)
    values = [image.tobytes() for image in images.image]
    configuration = {"rounds": rounds, "idle_s": idle, "warm_up_requests": warm_up, **setup.configuration}
    with broker_process(setup.cluster) as (measured, kafka):
        bench = Bench(measured, kafka, START_TIMEOUT_S)
        rows = []
        for number in range(rounds):
            rows.append({"round": number, **_imports(), **_started(bench, setup, values, warm_up, idle)})
            told = f"first prediction after {rows[-1]['first_prediction_s']:.2f} s"
            click.echo(f"round {number + 1} of {rounds}: {told}", err=True)
    results = {"startup": spreads(rows, TITLES), "bars": BARS, "rounds": rows}
    click.echo(grid(results).text())
    result.write(setup.output, result.document("startup", configuration, results))


def grid(results: Mapping[str, Any]) -> Grid:
    """The result for people."""
    rows = []
    for name, title in TITLES.items():
        scale = _SCALES.get(name, 1)
        found = results["startup"].get(name)
        scaled = found and {key: value * scale for key, value in found.items()}
        bar = f"at most {BARS[name] * scale:g}" if name in BARS else ""
        rows.append([title, shown(scaled, 0 if scale == 1e-6 else 2), bar])
    return Grid(["", "median (range)", "aimed at"], rows)


def _imports() -> dict[str, float]:
    """What of a start is Python's own, and its modules'."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], cwd=ROOT, check=True)
    interpreter_s = time.perf_counter() - start
    run = subprocess.run([sys.executable, "-c", _IMPORTS], cwd=ROOT, check=True, capture_output=True, text=True)
    return {"interpreter_s": interpreter_s, "import_s": float(run.stdout)}


def _started(bench: Bench, setup: Setup, values: Sequence[bytes], warm_up: int, idle_s: float) -> dict[str, float]:
    """One round: start, first prediction, warm-up, idling, stop."""
    work = preloaded(bench, values, 1, 1)
    predictions = f"{work.topic}_answers"
    drain.create_topics(bench.cluster, work.topic, predictions, 1)
    marks: dict[str, float] = {}
    with _Arrival(bench.cluster, predictions) as arrival:
        start = time.perf_counter()
        every = [*setup.options, *topic_options(work.topic, predictions), *delivery_options(setup.delivery, 0)]
        with App(bench.cluster, CLASSIFIER, *every, stderr=subprocess.PIPE) as app:
            reader = threading.Thread(target=_note, args=(app.process.stderr, marks))
            reader.start()
            try:
                marks["first_prediction_s"] = arrival.wait(app)
                used = _idled(bench, work, predictions, app, values, warm_up, idle_s)
            finally:
                app.stop()
                reader.join()
    return {**{name: at - start for name, at in marks.items()}, **used}


def _note(lines: IO[bytes], marks: dict[str, float]) -> None:
    """Pass on what the classifier logs, and note when it says what MARKS names."""
    with lines:
        for line in lines:
            now, text = time.perf_counter(), line.decode(errors="replace")
            for said, name in MARKS.items():
                if said in text:
                    marks.setdefault(name, now)
            sys.stderr.write(text)


def _idled(
    bench: Bench, work: Work, predictions: str, app: App, values: Sequence[bytes], warm_up: int, idle_s: float
) -> dict[str, float]:
    drain.preload(bench.cluster, work.topic, values, warm_up)
    with drain.Finish(bench.cluster, predictions) as finish:
        if not finish.wait(1 + warm_up, bench.timeout_s, app.check):
            raise AppError(f"the warm-up was not answered within {bench.timeout_s:.0f} s")
    warm = usage(app.process.pid)
    # The last commit and its answer belong to the work.
    app.is_done_within(_QUIET_S)
    before, start = usage(app.process.pid), time.perf_counter()
    app.is_done_within(idle_s)
    after, took_s = usage(app.process.pid), time.perf_counter() - start
    app.check()
    return {
        "warm_rss_bytes": warm.rss_bytes,
        "idle_rss_bytes": after.rss_bytes,
        "idle_cpu_share": (after.cpu_s - before.cpu_s) / took_s,
    }


class _Arrival:
    """Waits for the first record of an empty topic."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        options = {"group.id": "bench", "fetch.wait.max.ms": 10, "isolation.level": "read_committed"}
        self._consumer = Consumer({**connection_options(cluster), **options})
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        # So that it is connected, and asking, when the classifier starts.
        self._consumer.get_watermark_offsets(TopicPartition(topic, 0), START_TIMEOUT_S)
        self._consumer.poll(0.5)

    def __enter__(self) -> "_Arrival":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def wait(self, app: App) -> float:
        """When it was there, on the clock of time.perf_counter."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            app.check()
            message = self._consumer.poll(0.1)
            now = time.perf_counter()
            if message is not None and message.error() is None:
                return now
        raise AppError(f"no prediction came within {START_TIMEOUT_S:.0f} s")


if __name__ == "__main__":
    cli.run(main, "bench.startup")
