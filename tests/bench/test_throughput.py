"""What drains, starts and curves measure, over a real Kafka; the numbers themselves are the machine's."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench import wire
from bench.ceiling import ceiling
from bench.group import CLASSIFIER, Bench, drained_by
from bench.load import drain
from bench.scaling import colour
from bench.scaling.__main__ import main as scaling
from bench.scaling.curves import Setting, measure, points
from bench.scaling.table import grid as curve_grid
from bench.scaling.table import summary as curve
from bench.throughput import grid, summary
from edge.classifier import AT_LEAST_ONCE, EXACTLY_ONCE
from edge.cluster import Cluster
from edge.images import Images
from edge.model import load_model
from localkafka import LocalKafka
from tests.paths import ROOT
from tests.system.processes import run

MODEL = ROOT / "samples/lenet.onnx"


@pytest.fixture
def bench(kafka: LocalKafka) -> Bench:
    return Bench(Cluster(kafka.bootstrap_servers), kafka, 60.0)


@pytest.mark.kafka
def test_the_command_measures_one_process_our_echo_and_the_model_alone(kafka: LocalKafka, tmp_path: Path) -> None:
    output = tmp_path / "throughput.json"
    # So many that they are seen on their way.
    options = ["--requests", "5000", "--processes", "1", "--rounds", "1", "--output", str(output)]
    servers = ["--bootstrap-servers", kafka.bootstrap_servers]
    ended = run("bench.throughput", *options, *servers, "--", "--max-batch", "16")
    assert ended.process.returncode == 0, ended.log
    found = json.loads(output.read_text())
    results = found["results"]
    assert (results["classifier"][0]["lost"], results["echo"]["lost"]) == (0, 0)
    assert [row["batch"] for row in results["ceiling"]] == [1, 16, 32, 64]
    assert results["ratios"]["one_process_to_ceiling"]["batch"] == found["configuration"]["max_batch"] == 16
    assert {row["app"]: row["answered"] for row in results["runs"]} == {"edge.classifier": 5000, "bench.echo": 5000}
    assert results["runs"][0]["cpu_s_per_1000"] > 0
    assert results["runs"][0]["rss_peak_bytes"] > 30e6
    # Somebody else's broker is not looked into.
    assert "broker_cpu_s_per_1000" not in results["classifier"][0]
    assert "request_log_bytes" not in results["wire"]
    assert any("one process to our echo: " in line for line in ended.lines)


@pytest.mark.kafka
def test_a_group_shares_the_partitions_exactly_once(bench: Bench, samples: Images) -> None:
    work, cost = wire.written(bench, [image.tobytes() for image in samples.image], 2000, 2)
    assert cost["broker_cpu_s_per_1000"] >= 0
    row = drained_by(bench, work, CLASSIFIER, 2, ["--model", str(MODEL)], EXACTLY_ONCE)
    assert (row["answered"], row["lost"], row["duplicated"]) == (2000, 0, 0)
    assert bench.kafka is not None
    assert 784 < wire.log_bytes(bench.kafka, work.topic) / 2000 < 1000
    assert wire.read(bench, row["prediction_topic"])["records_per_s"] > 0


@pytest.mark.kafka
def test_a_start_is_timed_from_exec_to_the_prediction(kafka: LocalKafka, tmp_path: Path) -> None:
    output = tmp_path / "startup.json"
    options = ["--rounds", "1", "--idle", "1", "--warm-up", "10", "--output", str(output)]
    ended = run("bench.startup", *options, "--bootstrap-servers", kafka.bootstrap_servers)
    assert ended.process.returncode == 0, ended.log
    found = {name: value["median"] for name, value in json.loads(output.read_text())["results"]["startup"].items()}
    assert 0 < found["interpreter_s"] < found["model_ready_s"] < found["assigned_s"] < found["first_prediction_s"]
    assert 0 < found["import_s"] < found["first_prediction_s"]
    assert 30e6 < found["idle_rss_bytes"] < 300e6
    assert 0 <= found["idle_cpu_share"] < 1
    assert any(line.endswith("at most 1.5") for line in ended.lines)


@pytest.mark.kafka
def test_a_curve_over_the_payload_sends_other_content_types_and_large_images(
    bench: Bench, samples: Images, tmp_path: Path
) -> None:
    setting = Setting(bench, MODEL, load_model(MODEL), samples, [], AT_LEAST_ONCE, 1000, 1.0)
    found = points(setting, "payload", [64], tmp_path)
    assert [point.place["request_bytes"] for point in found[:2]] == [784, 912]
    json_requests, large = found[2].work, found[3]
    assert json_requests is not None
    with drain.Finish(bench.cluster, json_requests.topic) as finish:
        headers = [dict(message.headers() or []) for message in finish.read()]
    assert {header["content-type"] for header in headers} == {b"application/json"}
    row = {"series": large.series, **large.place, **measure(setting, large)}
    assert (row["request_bytes"], row["lost"], row["duplicated"]) == (3 * 64 * 64, 0, 0)
    assert 0 < row["model_cpu_s_per_1000"] < 100
    assert "12,288" in curve_grid(curve("payload", [row])).text()


@pytest.mark.kafka
def test_a_curve_over_the_rate_gives_latency_and_cpu(bench: Bench, samples: Images, tmp_path: Path) -> None:
    setting = Setting(bench, MODEL, load_model(MODEL), samples, [], AT_LEAST_ONCE, 1000, 1.0)
    (point,) = points(setting, "rate", [50], tmp_path)
    row = measure(setting, point)
    assert (row["lost"], row["duplicated"], row["p99_ms"]) == (0, 0, None)
    assert row["p50_ms"] > 0
    assert row["cpu_share"] == pytest.approx(row["cpu_s_per_1000"] * 0.05, rel=0.5)
    results = curve("rate", [{"series": "", **point.place, **row}])
    assert results["rows"][0]["rate_per_s"] == 50
    assert "p99_ms" not in results["rows"][0]


def test_the_model_of_large_images_finds_the_strongest_colour(tmp_path: Path) -> None:
    path = tmp_path / "colour.onnx"
    colour.write_model(path, 8)
    images = colour.images(8, 2)
    images[0, 1] = 255
    images[1, 2] = 255
    model = load_model(path)
    np.testing.assert_array_equal(model.infer(images).argmax(axis=1), [1, 2])
    assert model.contract == colour.contract(8)


def test_the_ceiling_counts_images_not_batches(samples: Images) -> None:
    model = load_model(MODEL)
    one, many = (ceiling(model, samples.image, batch, 0.2) for batch in (1, 300))
    assert (one.batch, many.batch) == (1, 300)
    assert one.images_per_s == pytest.approx(1000 / one.cpu_s_per_1000, rel=0.9)
    assert many.cpu_s_per_1000 < one.cpu_s_per_1000


def test_a_ratio_is_taken_within_its_round() -> None:
    def row(number: int, app: str, processes: int, rate: float) -> dict[str, object]:
        run = {"round": number, "app": app, "processes": processes, "partitions": processes, "images_per_s": rate}
        return {**run, "cpu_s_per_1000": 0.1, "rss_peak_bytes": 1e8, "lost": 1, "duplicated": 2}

    runs = [row(0, "edge.classifier", 1, 100), row(0, "bench.echo", 1, 200), row(0, "edge.classifier", 2, 150)]
    runs += [row(1, "edge.classifier", 1, 10), row(1, "bench.echo", 1, 20), row(1, "edge.classifier", 2, 20)]
    limits = [{"round": number, "batch": size, "images_per_s": 400.0} for number in (0, 1) for size in (32, 64)]
    found = summary(runs, limits, 48)
    assert found["ratios"]["one_process_to_echo"] == {"median": 0.5, "low": 0.5, "high": 0.5, "rounds": 2}
    assert found["ratios"]["one_process_to_echo_by_cpu"]["median"] == 1
    assert found["ratios"]["processes_to_one"][0]["processes"] == 2
    assert found["ratios"]["processes_to_one"][0]["low"] == 1.5
    assert found["ratios"]["one_process_to_ceiling"]["batch"] == 32
    assert found["classifier"][0]["lost"] == 2
    assert "one process to our echo: 0.50" in grid(found).text()


def test_values_that_cannot_work_are_refused_before_anything_starts() -> None:
    ended = CliRunner().invoke(scaling, ["--over", "batch", "--values", "64,5000"])
    assert ended.exit_code == 2
    assert "go up to 4,096, not 5,000" in ended.output
