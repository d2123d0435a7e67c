"""The slim package stays slim: what importing it brings in, and where the Kafka clients are."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import LENET, ROOT

THIRD_PARTY = {"click", "crc32c", "kafka", "numpy", "onnxruntime"}
CONFLUENT = "edge.confluent_"
"""Modules that may import confluent-kafka, and what that brings."""
OPTIONAL = (CONFLUENT, "edge.exposition")
"""The same with those that need another optional package."""
LISTING = """
import sys
before = set(sys.modules)
for name in sys.argv[1:]:
    __import__(name)
print(*{name.partition('.')[0] for name in set(sys.modules) - before})
"""


def imported_by(*modules: str) -> set[str]:
    """Top-level names, without the standard library's, that a fresh interpreter has after importing `modules`."""
    run = subprocess.run(
        [sys.executable, "-c", LISTING, *modules], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(run.stdout.split()) - sys.stdlib_module_names - {"__main__", "__mp_main__"}


MODULES = sorted(f"edge.{path.stem}" for path in (ROOT / "edge").glob("*.py") if path.stem != "__init__")


SLIM = [module for module in MODULES if not module.startswith(OPTIONAL)]


def test_edge_imports_nothing_beyond_its_list() -> None:
    assert imported_by("edge", *SLIM) <= THIRD_PARTY | {"edge"}


@pytest.mark.parametrize("module", SLIM)
def test_each_module_imports_alone(module: str) -> None:
    assert imported_by(module) <= THIRD_PARTY | {"edge"}


def test_the_optional_client_brings_its_library_and_not_the_other_one() -> None:
    found = imported_by(*(module for module in MODULES if module.startswith(CONFLUENT)))
    assert "confluent_kafka" in found
    assert found <= (THIRD_PARTY - {"kafka", "crc32c"}) | {"edge", "confluent_kafka"}


@pytest.mark.parametrize("client", ["kafka", "confluent"])
def test_only_files_named_so_import_a_kafka_client(client: str) -> None:
    library = {"kafka": "kafka", "confluent": "confluent_kafka"}[client]
    edge = (ROOT / "edge").glob("*.py")
    pattern = rf"^(import|from) {library}\b"
    users = {path.name for path in edge if re.search(pattern, path.read_text(), re.MULTILINE)}
    own = {path.name for path in (ROOT / "edge").glob(f"{client}_*.py")}
    # What names librdkafka's options needs nothing of it.
    assert users == own - {"confluent_options.py"}
    assert library not in imported_by("edge.pubsub", "edge.service", "edge.transactions", "edge.memory_client")


def test_the_package_itself_imports_no_app() -> None:
    assert imported_by("edge") == {"edge"}


def test_metrics_bring_their_library_only_where_it_is_needed() -> None:
    assert imported_by("edge.exposition") <= {"edge", "click", "numpy", "onnxruntime", "prometheus_client"}
    listing = LISTING.replace(".partition('.')[0]", "")
    command = [sys.executable, "-c", listing, "edge.classifier"]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert "edge.service" in found
    assert not {"edge.metrics", "edge.metrics_server", "edge.health", "edge.drift", "http.server"} & set(found)


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from edge.classifier import main
main(sys.argv[2:], prog_name="classifier")
"""


@pytest.mark.parametrize(
    ("library", "option", "value"),
    [("confluent_kafka", "--client", "confluent"), ("prometheus_client", "--metrics-port", "0")],
)
def test_what_is_not_installed_is_said_to_be_so_in_one_sentence(library: str, option: str, value: str) -> None:
    command = [sys.executable, "-c", WITHOUT, library, option, value, "--model", str(LENET)]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 78
    last = run.stderr.splitlines()[-1]
    needed = "--client confluent" if option == "--client" else option
    assert last.startswith(f"Error: {needed} needs a package that is not installed here: pip install ")
    assert last.endswith(library.replace("_", "-"))


def test_onnxruntime_is_not_let_to_report_to_its_maker(tmp_path: Path) -> None:
    program = "import sys; from edge.model import load_model; load_model(__import__('pathlib').Path(sys.argv[1]))"
    without = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", program, str(LENET)]
    subprocess.run(command, cwd=ROOT, env={**without, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""}, check=True)
    assert list(tmp_path.rglob("*")) == []


PLUGS = {"edge.escalation", "edge.freshness", "edge.swap"}
BARE = """
import sys
from edge.classifier import plugged
plugged(None, None, None, "", 0)
print(*sys.modules)
"""


def test_a_classifier_without_options_imports_nothing_for_them() -> None:
    run = subprocess.run([sys.executable, "-c", BARE], cwd=ROOT, check=True, capture_output=True, text=True)
    assert PLUGS.isdisjoint(run.stdout.split())
    assert set(MODULES) >= PLUGS
