"""The classifier's metrics in Prometheus' text format, by the optional package prometheus-client."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from edge.metrics import Histogram, Metrics
from edge.model import Model

MAX_CLASSES = 100
"""So many classes have a series of their own; a model with more gives one to those that it predicts first."""
MAX_PARTITIONS = 100
"""Lag is told for each of so many partitions, or else only as a sum."""
MAX_LABEL = 100
"""Characters of a class's name."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Which every Prometheus reads."""


class Exposition:
    """Renders the metrics of one process, and what the operating system says of it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shown: set[int] = set()
        self._registry: Any = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def render(self) -> bytes:
        """All metrics as of now."""
        return bytes(generate_latest(self._registry))

    def describe(self) -> list[Any]:
        """Nothing beforehand: labels come with the model."""
        return []

    def collect(self) -> Iterator[Any]:
        """What prometheus-client asks for at each scrape."""
        metrics = self._metrics
        with metrics.lock:
            families = [*self._work(), *self._loop(), *self._model()]
        yield from families

    def _work(self) -> Iterator[Any]:
        metrics = self._metrics
        yield _counter("requests", "Records that were answered or became dead letters.", metrics.requests)
        yield _counter("predictions", "Predictions written.", metrics.predictions)
        dead = CounterMetricFamily("edge_dead_letters", "Dead letters written, by kind of reason.", labels=["reason"])
        for reason, count in metrics.dead_letters.items():
            dead.add_metric([reason], count)
        yield dead
        stages = HistogramMetricFamily(
            "edge_stage_seconds", "What each answered request waited for, by stage.", labels=["stage"]
        )
        for stage, histogram in metrics.stages.items():
            stages.add_metric([stage], *_buckets(histogram))
        yield stages
        implausible = "Answered requests whose created-ns is no time of the last day by this device's clock."
        yield _counter("implausible_created", implausible, metrics.implausible)
        yield _counter("inference_busy_seconds", "Time spent in inference.", metrics.busy_s)
        for name, text, histogram in (
            ("edge_batch_size", "Requests inferred at once.", metrics.batches),
            ("edge_confidence", "Confidence of each prediction.", metrics.confidences),
        ):
            family = HistogramMetricFamily(name, text)
            family.add_metric([], *_buckets(histogram))
            yield family

    def _loop(self) -> Iterator[Any]:
        metrics, health = self._metrics, self._metrics.health
        yield _gauge("live", "1 while the loop moves, as /livez says.", health.standstill is None)
        yield _gauge("ready", "1 while requests are answered, as /readyz says.", health.obstacle is None)
        yield _gauge("loop_still_seconds", "How long ago the loop came round.", health.still_s)
        yield _gauge("assigned_partitions", "Partitions that the group has given to this process.", len(metrics.lag))
        yield _gauge("in_flight_records", "Records read, and not known to be committed.", metrics.in_flight)
        lag = GaugeMetricFamily(
            "edge_consumer_lag_records",
            "Records that the broker has and this process has not read.",
            labels=["partition"],
        )
        known = {partition.number: records for partition, records in metrics.lag.items() if records is not None}
        if len(known) > MAX_PARTITIONS:
            lag.add_metric(["all"], sum(known.values()))
        else:
            for number, records in sorted(known.items()):
                lag.add_metric([str(number)], records)
        yield lag

    def _model(self) -> Iterator[Any]:
        metrics = self._metrics
        if metrics.served is None:
            return
        model = metrics.served.model
        contract = model.contract
        yield _info(model)
        yield self._classes(contract.labels)
        if contract.reference is None:
            return
        yield _gauge("drift_window", "Predictions that are compared with the model's reference.", metrics.window.filled)
        drift = metrics.window.compare(contract.reference)
        if drift is not None:
            text = "Total variation distance of the last predictions' class mix from the reference's, from 0 to 1."
            yield _gauge("drift_class_mix", text, drift.class_mix)
            text = "Mean confidence of the last predictions minus the reference's."
            yield _gauge("drift_confidence", text, drift.confidence)

    def _classes(self, labels: tuple[str, ...]) -> Any:
        counts = self._metrics.classes
        family = CounterMetricFamily("edge_predicted_class", "Predictions by class.", labels=["class", "label"])
        if len(labels) <= MAX_CLASSES:
            shown: Any = range(len(labels))
        else:
            unseen = (number for number, count in enumerate(counts) if count and number not in self._shown)
            for number in unseen:
                if len(self._shown) >= MAX_CLASSES:
                    break
                self._shown.add(number)
            shown = sorted(self._shown)
            family.add_metric(["other", ""], sum(counts) - sum(counts[number] for number in shown))
        for number in shown:
            family.add_metric([str(number), labels[number][:MAX_LABEL]], counts[number])
        return family


def _info(model: Model) -> Any:
    contract = model.contract
    texts = {"name": contract.name, "version": contract.version, "run": contract.run, "precision": contract.precision}
    family = InfoMetricFamily("edge_model", "The model that answers.")
    family.add_metric([], {**texts, "sha256": model.sha256})
    return family


def _counter(name: str, text: str, value: float) -> Any:
    return CounterMetricFamily(f"edge_{name}", text, value)


def _gauge(name: str, text: str, value: float) -> Any:
    return GaugeMetricFamily(f"edge_{name}", text, value)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper bound, and the sum of all values."""
    counts, total = [], 0
    for bound, count in zip([*map(float, histogram.bounds), "+Inf"], histogram.counts, strict=True):
        total += count
        counts.append((str(bound), float(total)))
    return counts, histogram.sum
