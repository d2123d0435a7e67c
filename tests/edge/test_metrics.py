"""What the loop tells its metrics, value by value, on the in-memory client with the real model."""

import dataclasses
import threading
import time
from collections.abc import Sequence

import pytest

from edge.codec import Request, Timing
from edge.contract import Reference
from edge.delivery import AtLeastOnce
from edge.errors import BadRequestError
from edge.exposition import MAX_CLASSES, MAX_PARTITIONS, Exposition
from edge.hooks import Answers, Hooks, Served
from edge.images import Images
from edge.memory_client import MemoryClient
from edge.metrics import OTHER, Histogram, Metrics
from edge.model import Model, load_model
from edge.records import Encoded, Headers, Partition, Record
from edge.rejections import MAX_KINDS
from edge.service import Options, Service
from tests.edge.loop import ReadUntilEmpty
from tests.paths import LENET
from tests.scrape import Scrape

RECEIVED_NS = 1_800_000_000 * 10**9


@pytest.fixture
def served() -> Served:
    return Served(load_model(LENET))


def record(headers: Headers = ()) -> Record:
    return Record(Partition("in", 0), 0, 0, None, b"", headers)


def answer(metrics: Metrics, served: Served, classes: Sequence[int], created: Sequence[bytes | None] = ()) -> None:
    """One batch, whose requests were created then."""
    headers = [[("created-ns", value)] if value else [] for value in created] or [[]] * len(classes)
    requests = [Request(record(), "id", b"", each) for each in headers]
    timing = Timing(RECEIVED_NS, 0, 20.0, 4.0, len(classes))
    metrics.loaded(served)
    metrics.answered(Answers(served, requests, classes, [0.5] * len(classes), timing))


def scraped(metrics: Metrics) -> Scrape:
    return Scrape(Exposition(metrics).render().decode())


def relabelled(served: Served, labels: Sequence[str]) -> Served:
    """The same model that knows other classes."""
    model = served.model
    return Served(Model(model._session, dataclasses.replace(model.contract, labels=tuple(labels)), "0123456789ab"))


def test_what_a_loop_did_is_told_value_by_value(served: Served, samples: Images) -> None:
    client, stop, metrics = MemoryClient(), threading.Event(), Metrics(16)
    for number, image in enumerate(samples.image[:40]):
        client.append(
            "in", image.tobytes() if number % 10 else b"short", None, [("created-ns", b"%d" % time.time_ns())]
        )
    delivery = AtLeastOnce(client.open_sink, commit_interval_s=0.0)
    source = ReadUntilEmpty(client.open_source("in", "group", delivery.on_revoked), delivery, stop)
    delivery.attach(source)
    metrics.loaded(served)
    metrics.connected(source, delivery)
    Service(source, delivery, Hooks(lambda: served, observer=metrics), Options("out", "dead", max_batch=16)).run(stop)
    found = scraped(metrics)
    assert found["edge_requests_total"] == 40
    assert found["edge_predictions_total"] == len(client.topics["out"]) == 36
    reason = "the value has bytes; the model needs"
    (dead,) = found.labelled("edge_dead_letters_total", "reason").items()
    assert dead[1] == len(client.topics["dead"]) == 4
    assert not any(character.isdigit() for character in dead[0]), reason
    mix = served.model.infer(samples.image[[n for n in range(40) if n % 10]].reshape(-1, 28, 28, 1))
    expected = {str(n): float(count) for n, count in enumerate([0] * 10)}
    for number in mix.argmax(axis=1).tolist():
        expected[str(number)] += 1
    assert found.labelled("edge_predicted_class_total", "class") == expected
    assert found["edge_confidence_count"] == 36
    assert found["edge_confidence_sum"] == pytest.approx(float(mix.max(axis=1).sum()), abs=1e-4)
    assert (found["edge_batch_size_count"], found["edge_batch_size_sum"]) == (3, 36)
    for stage in ("request", "queue", "inference"):
        assert found[f'edge_stage_seconds_count{{stage="{stage}"}}'] == 36
    assert found["edge_inference_busy_seconds_total"] > 0
    assert found["edge_implausible_created_total"] == 0
    assert (found["edge_live"], found["edge_ready"], found["edge_assigned_partitions"]) == (1, 1, 1)
    assert 'edge_consumer_lag_records{partition="0"}' in found.values
    contract = served.model.contract
    assert found.labels("edge_model_info") == [
        {
            "name": "lenet",
            "version": contract.version,
            "run": contract.run,
            "precision": "float32",
            "sha256": served.model.sha256,
        }
    ]
    assert found["process_resident_memory_bytes"] > 20e6
    delivery.close()


def test_each_request_of_a_batch_counts_with_what_it_waited_for(served: Served) -> None:
    metrics = Metrics(16)
    hour_ago, future = RECEIVED_NS - 3600 * 10**9, RECEIVED_NS + 10**9
    created = [
        b"%d" % (RECEIVED_NS - 5 * 10**6),
        b"%d" % hour_ago,
        None,
        b"%d" % future,
        b"0",
        b"now",
        b"9" * 5000,
        b"-1",
    ]
    answer(metrics, served, [0] * 8, created)
    found = scraped(metrics)
    assert found['edge_stage_seconds_count{stage="request"}'] == 2
    assert found['edge_stage_seconds_sum{stage="request"}'] == pytest.approx(3600.005)
    assert found['edge_stage_seconds_bucket{le="0.005",stage="request"}'] == 1
    assert found['edge_stage_seconds_bucket{le="3600.0",stage="request"}'] == 2
    assert found["edge_implausible_created_total"] == 5
    assert found['edge_stage_seconds_bucket{le="0.01",stage="queue"}'] == 0
    assert found['edge_stage_seconds_bucket{le="0.025",stage="queue"}'] == 8
    assert found['edge_stage_seconds_sum{stage="inference"}'] == pytest.approx(0.032)
    assert found["edge_inference_busy_seconds_total"] == pytest.approx(0.004)


def test_a_bound_belongs_to_what_is_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe_all([0.5, 1.0, 1.5, 2.0, 2.5])
    histogram.observe(9.0, times=3)
    assert (histogram.counts, histogram.sum) == ([2, 2, 4], 34.5)


def test_reasons_are_told_apart_by_kind_and_only_so_many_of_them() -> None:
    metrics = Metrics(16)
    for number in range(100):
        metrics.rejected(record(), BadRequestError(f"the key has {number:,} bytes; the header 'x{number}' is repeated"))
    for number in range(100):
        metrics.rejected(record(), BadRequestError(f"{chr(65 + number % 50) * 300} \n"))
    found = scraped(metrics).labelled("edge_dead_letters_total", "reason")
    assert found["the key has bytes; the header is repeated"] == 100
    assert len(found) == MAX_KINDS + 1
    assert found[OTHER] == 2 * (50 - (MAX_KINDS - 1))
    assert sum(found.values()) == scraped(metrics)["edge_requests_total"] == 200
    assert max(map(len, found)) == 100


def test_of_very_many_classes_those_that_come_first_have_series_of_their_own(served: Served) -> None:
    metrics, many = Metrics(16), relabelled(served, [f"class {number} {'x' * 900}" for number in range(5_000)])
    exposition = Exposition(metrics)
    answer(metrics, many, [4_999, 7, 7])
    first = Scrape(exposition.render().decode())
    assert first.labelled("edge_predicted_class_total", "class") == {"other": 0, "7": 2, "4999": 1}
    answer(metrics, many, list(range(3_000)))
    second = Scrape(exposition.render().decode()).labelled("edge_predicted_class_total", "class")
    assert len(second) == MAX_CLASSES + 1
    assert (second["7"], second["4999"]) == (3, 1)
    assert sum(second.values()) == 3_003
    assert max(len(labels["label"]) for labels in first.labels("edge_predicted_class_total")) == 100


def test_predictions_are_counted_for_the_model_that_made_them(served: Served) -> None:
    metrics = Metrics(16)
    answer(metrics, served, [1, 1])
    other = relabelled(served, ["cat", "dog"])
    answer(metrics, other, [1])
    found = scraped(metrics)
    assert found.labelled("edge_predicted_class_total", "label") == {"cat": 0, "dog": 1}
    assert [labels["sha256"] for labels in found.labels("edge_model_info")] == ["0123456789ab"]
    assert (metrics.window.filled, found["edge_predictions_total"]) == (1, 3)


@pytest.mark.parametrize(("turn", "by_new"), [(2, 24), (3, 8), (4, 0)])
def test_a_model_that_takes_over_is_told_at_once_and_answers_in_flight_are_still_the_old_ones(
    turn: int, by_new: int, samples: Images
) -> None:
    old, new = Served(load_model(LENET)), relabelled(Served(load_model(LENET)), "abcdefghij")
    client, stop, metrics = MemoryClient(), threading.Event(), Metrics(16)
    for image in samples.image[:40]:
        client.append("in", image.tobytes())
    delivery = AtLeastOnce(client.open_sink, commit_interval_s=0.0)
    source = client.open_source("in", "group", delivery.on_revoked)
    delivery.attach(source)
    names: list[str] = []

    def model() -> Served:
        (info,) = scraped(metrics).labels("edge_model_info")
        names.append(info["sha256"])
        if len(names) == 6:
            stop.set()
        return old if len(names) < turn else new

    metrics.loaded(old)
    Service(source, delivery, Hooks(model, observer=metrics), Options("out", "dead", max_batch=16)).run(stop)
    delivery.close()
    # Three turns with records, the others without any.
    assert names == [old.model.sha256] * turn + [new.model.sha256] * (6 - turn)
    found = scraped(metrics)
    assert found["edge_predictions_total"] == 40
    assert sum(found.labelled("edge_predicted_class_total", "class").values()) == metrics.window.filled == by_new


def test_drift_is_told_of_a_model_with_a_reference_once_the_window_is_full(served: Served) -> None:
    def told(reference: Reference | None) -> Served:
        contract = dataclasses.replace(served.model.contract, reference=reference)
        return Served(Model(served.model._session, contract, served.model.sha256))

    metrics, referred, unreferred = Metrics(16), told(Reference((0.25, 0.75, *[0.0] * 8), 0.8)), told(None)
    answer(metrics, unreferred, [0])
    assert "edge_drift" not in scraped(metrics).text
    for _ in range(250):
        answer(metrics, referred, [0, 1, 2])
    found = scraped(metrics)
    assert found["edge_drift_window"] == 750
    assert "edge_drift_class_mix" not in found.values
    for _ in range(250):
        answer(metrics, referred, [1, 1, 1, 2])
    found = scraped(metrics)
    assert found["edge_drift_window"] == 1000
    assert found["edge_drift_class_mix"] == pytest.approx(0.25)
    assert found["edge_drift_confidence"] == pytest.approx(0.5 - 0.8)
    answer(metrics, unreferred, [0])
    assert "edge_drift" not in scraped(metrics).text


def test_lag_is_told_by_partition_or_as_a_sum_and_not_where_nobody_knows_it() -> None:
    metrics = Metrics(16)
    metrics.lag = {Partition("in", 1): 7, Partition("in", 0): 0, Partition("in", 2): None}
    found = scraped(metrics)
    assert found.labelled("edge_consumer_lag_records", "partition") == {"0": 0, "1": 7}
    assert found["edge_assigned_partitions"] == 3
    metrics.lag = {Partition("in", number): number for number in range(MAX_PARTITIONS + 1)}
    assert scraped(metrics).labelled("edge_consumer_lag_records", "partition") == {"all": 5050}


def test_what_is_in_flight_is_what_is_not_committed() -> None:
    client = MemoryClient()
    for _ in range(5):
        client.append("in", b"")
    delivery = AtLeastOnce(client.open_sink)
    source = client.open_source("in", "group", delivery.on_revoked)
    delivery.attach(source)
    metrics = Metrics(16)
    metrics.connected(source, delivery)
    ticket = delivery.track(source.read(3, 0.0))
    metrics.turned()
    found = scraped(metrics)
    assert (found["edge_in_flight_records"], found['edge_consumer_lag_records{partition="0"}']) == (3, 2)
    delivery.write(ticket, "out", [Encoded(None, b"", ())] * 3)
    assert delivery.in_flight == 3
    delivery.settle()
    assert delivery.in_flight == 0
    assert list(client.committed.values()) == [3]
