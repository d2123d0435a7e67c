"""The slim package stays slim: what importing it brings in, and where the Kafka clients are."""

import re
import subprocess
import sys

import pytest

from tests.paths import LENET, ROOT

THIRD_PARTY = {"click", "crc32c", "kafka", "numpy", "onnxruntime"}
OPTIONAL = "edge.confluent_"
"""Modules that may import confluent-kafka, and what that brings."""
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
    found = imported_by(*(module for module in MODULES if module.startswith(OPTIONAL)))
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


WITHOUT = """
import sys
sys.modules["confluent_kafka"] = None
from edge.classifier import main
main(["--client", "confluent", "--model", sys.argv[1]], prog_name="classifier")
"""


def test_a_client_that_is_not_installed_is_said_to_be_so_in_one_sentence() -> None:
    command = [sys.executable, "-c", WITHOUT, str(LENET)]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 78
    last = run.stderr.splitlines()[-1]
    assert last.startswith("Error: --client confluent needs a package that is not installed here: pip install ")


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
