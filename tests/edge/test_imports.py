"""The slim package stays slim: what importing it brings in, and where the one Kafka client is."""

import re
import subprocess
import sys

import pytest

from tests.paths import ROOT

THIRD_PARTY = {"click", "crc32c", "kafka", "numpy", "onnxruntime"}
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


def test_edge_imports_nothing_beyond_its_list() -> None:
    assert imported_by("edge", *MODULES) <= THIRD_PARTY | {"edge"}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_imports_alone(module: str) -> None:
    assert imported_by(module) <= THIRD_PARTY | {"edge"}


def test_the_package_itself_imports_no_app() -> None:
    assert imported_by("edge") == {"edge"}


def test_only_files_named_so_import_the_kafka_client() -> None:
    edge = (ROOT / "edge").glob("*.py")
    users = {path.name for path in edge if re.search(r"^(import|from) kafka\b", path.read_text(), re.MULTILINE)}
    assert users == {path.name for path in (ROOT / "edge").glob("kafka_*.py")}
    assert "kafka" not in imported_by("edge.pubsub", "edge.service", "edge.transactions", "edge.memory_client")
