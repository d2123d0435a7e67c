"""The plan for a rate: computed from what was measured, each number with its source, none from nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench import plan, result
from bench.spread import spread

RESULTS: dict[str, Any] = {
    "classifier": [
        {
            "processes": 1,
            "images_per_s": spread([9_000, 10_000, 11_000]),
            "cpu_s_per_1000": spread([0.1]),
            "rss_peak_bytes": spread([100e6]),
            "broker_cpu_s_per_1000": spread([0.02]),
        }
    ],
    "wire": {
        "request_log_bytes": 800.0,
        "prediction_log_bytes": 200.0,
        "writing_requests": {
            "records_per_s": spread([100_000]),
            "client_cpu_s_per_1000": spread([0.01]),
            "broker_cpu_s_per_1000": spread([0.01]),
        },
        "reading_predictions": {
            "records_per_s": 500_000.0,
            "client_cpu_s_per_1000": 0.002,
            "broker_cpu_s_per_1000": 0.001,
        },
    },
}


def run(tmp_path: Path, results: dict[str, Any], *options: str) -> tuple[int, str, Path]:
    path, output = tmp_path / "throughput.json", tmp_path / "plan.json"
    path.write_text(json.dumps(result.document("throughput", {}, results)))
    ended = CliRunner().invoke(plan.main, [str(path), "--output", str(output), *options])
    return ended.exit_code, ended.output, output


def test_the_plan_follows_from_what_was_measured(tmp_path: Path) -> None:
    options = ("--rate", "1000000", "--headroom", "2", "--retention-hours", "1", "--broker-cores", "10")
    code, said, output = run(tmp_path, RESULTS, *options)
    assert code == 0, said
    numbers = {one["name"]: one for one in result.read(output)["results"]["numbers"]}
    found = {name: one["value"] for name, one in numbers.items()}
    assert found["processes"] == found["partitions"] == 200
    assert found["cores"] == pytest.approx(200)
    assert found["devices"] == 50
    assert found["in from clients"] == found["out to clients"] == pytest.approx(16)
    assert found["between brokers"] == pytest.approx(32)
    assert found["disk"] == pytest.approx(10.8)
    # 0.01 written, 0.02 answered, 0.001 read, and two copies of both at the cost of a writing: 0.071 s for 1,000.
    assert found["cores of all brokers"] == pytest.approx(142)
    assert (found["brokers by CPU"], found["brokers by network"], found["brokers by disk"]) == (15, 5, 1)
    assert found["brokers"] == 15
    assert found["cores writing requests"] == pytest.approx(20)
    assert found["cores reading predictions"] == pytest.approx(4)
    assert all(one["source"] for one in numbers.values())
    assert numbers["one process"]["source"] == "throughput.json: classifier[1].images_per_s.median"
    assert numbers["cores of a broker"]["source"] == "assumed: --broker-cores"
    assert all(name in said and one["source"] in said for name, one in numbers.items())


def test_what_was_not_measured_is_not_made_up(tmp_path: Path) -> None:
    wire = {key: value for key, value in RESULTS["wire"].items() if key != "request_log_bytes"}
    code, said, output = run(tmp_path, {**RESULTS, "wire": wire})
    assert code == 65
    assert "'wire.request_log_bytes' is in none of throughput.json" in said
    assert not output.exists()
