"""The alert rules: valid, and firing on what they are for and on nothing else; `promtool` is Debian's `prometheus`."""

import re
import shutil
import subprocess

import pytest

from edge.exposition import Exposition
from edge.metrics import Metrics
from tests.paths import ROOT

RULES, TESTS = ROOT / "deploy" / "alerts.yml", ROOT / "deploy" / "alerts.test.yml"
DRIFT = {"edge_drift_class_mix", "edge_drift_confidence", "edge_model_info"}
"""What is told only once there is a model, or a full window of its predictions: tested elsewhere."""


@pytest.mark.parametrize("command", [["check", "rules", str(RULES)], ["test", "rules", str(TESTS)]], ids=" ".join)
def test_promtool_accepts_the_rules_and_what_they_fire_on(command: list[str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install --no-install-recommends prometheus")
    checked = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout + checked.stderr


def test_every_alert_has_a_test_that_it_fires_and_asks_for_metrics_that_exist() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    firing = re.findall(r"- alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:\n", TESTS.read_text())
    assert len(alerts) == len(set(alerts)) == 8
    assert set(firing) == set(alerts)
    told = re.findall(r"# TYPE (\w+)", Exposition(Metrics(16)).render().decode())
    expressions = re.findall(r"expr: (?:\|\n)?(.+?)\n\s+for:", RULES.read_text(), re.DOTALL)
    asked = set(re.findall(r"edge_\w+", " ".join(expressions)))
    assert len(expressions) == 8
    assert asked <= set(told) | DRIFT
