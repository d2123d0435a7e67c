"""The systemd units: systemd understands them, they are locked down, and they set what the apps know."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from edge import classifier, errors, query
from tests.paths import ROOT

DEPLOY = ROOT / "deploy"
APPS: dict[str, click.Command] = {"classifier": classifier.main, "query": query.main}
HOME = "/opt/onnx-kafka-edge/current"
EXPOSURE = 15
"""Most that `systemd-analyze security` may count, in tenths: 11 as of systemd 252, where nothing set is 96."""
NEWER = re.compile(r".*: Unknown key '(RestartSteps|RestartMaxDelaySec)' in section \[Service\], ignoring\.")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here (Debian: systemd)"
)


def lines(app: str) -> list[str]:
    return (DEPLOY / f"edge-{app}@.service").read_text().splitlines()


def installed(app: str, folder: Path, *more: str) -> Path:
    """An instance of a unit whose app is there, with the drop-ins for credentials."""
    (folder / "venv" / "bin").mkdir(parents=True)
    program = folder / "venv" / "bin" / f"edge-{app}"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = folder / f"edge-{app}@one.service"
    unit.write_text("\n".join([*lines(app), *more]).replace(HOME, str(folder)))
    shutil.copytree(DEPLOY / "credentials", folder / f"{unit.name}.d")
    return unit


def analyze(*options: str) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("systemd-analyze") or "", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@needs_systemd
@pytest.mark.parametrize("app", APPS)
def test_systemd_understands_every_line(app: str, tmp_path: Path) -> None:
    found = analyze("verify", "--man=no", str(installed(app, tmp_path)))
    assert [line for line in found.stderr.splitlines() if not NEWER.fullmatch(line)] == []
    assert found.returncode == 0


@needs_systemd
def test_a_line_that_systemd_does_not_understand_is_found(tmp_path: Path) -> None:
    found = analyze("verify", "--man=no", str(installed("query", tmp_path, "[Service]", "ProtectAll=yes")))
    assert "Unknown key 'ProtectAll'" in found.stderr


@needs_systemd
@pytest.mark.parametrize("app", APPS)
def test_a_unit_exposes_little(app: str, tmp_path: Path) -> None:
    unit = str(installed(app, tmp_path))
    found = analyze("security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE}", unit)
    assert found.returncode == 0, found.stdout
    assert analyze("security", "--no-pager", "--offline=yes", "--threshold=1", unit).returncode != 0


@pytest.mark.parametrize("app", APPS)
def test_a_unit_is_locked_down_in_words(app: str) -> None:
    must = ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "MemoryMax=512M", "Restart=on-failure"]
    assert [line for line in must if line not in lines(app)] == []
    (stay,) = [line for line in lines(app) if line.startswith("RestartPreventExitStatus=")]
    codes = [2, errors.EXIT_NOT_AUTHORISED, errors.EXIT_BAD_CONFIGURATION]
    assert stay == f"RestartPreventExitStatus={' '.join(map(str, codes))}"


@pytest.mark.parametrize("app", APPS)
def test_a_unit_sets_variables_that_its_app_reads(app: str) -> None:
    text = "\n".join([*lines(app), *(path.read_text() for path in (DEPLOY / "credentials").iterdir())])
    known = {each.envvar for each in APPS[app].params if isinstance(each, click.Option)}
    named = set(re.findall(r"^Environment=(EDGE_[A-Z0-9_]+)=", text, re.MULTILINE))
    assert named <= known
    assert len(named) >= 4


def test_the_example_of_an_environment_names_variables_that_there_are() -> None:
    named = set(re.findall(r"^#?(EDGE_[A-Z0-9_]+)=", (DEPLOY / "edge.env").read_text(), re.MULTILINE))
    known = {each.envvar for app in APPS.values() for each in app.params if isinstance(each, click.Option)}
    assert "EDGE_BOOTSTRAP_SERVERS" in named
    assert named <= known
