"""A model's file that is watched: what it holds, how it is replaced, and who serves after some looks."""

from pathlib import Path

from bench.rolled import rolled
from edge.hooks import Served
from edge.model import load_model, load_model_bytes
from edge.swap import ModelFile, ModelWatch
from tests.paths import LENET

DATA = LENET.read_bytes()
OLD = load_model(LENET).sha256
NEW = rolled(DATA, 1)


def put(path: Path, data: bytes) -> None:
    """Replace a file by atomic rename."""
    other = path.with_name("new")
    other.write_bytes(data)
    other.replace(path)


def watched(
    path: Path, interval_s: float = 3600.0, contract: Path | None = None, sha256: str | None = None
) -> ModelWatch:
    """A watch of that file, which does not look by itself yet."""
    file = ModelFile(path, contract, sha256)
    return ModelWatch(Served(file.load()), file, interval_s)


def look(watch: ModelWatch, times: int = 2) -> str:
    """Look so often, and say who serves then."""
    for _ in range(times):
        watch.look()
    return watch.model().model.sha256


def name(data: bytes) -> str:
    """How answers of that model call it."""
    return load_model_bytes(data, "new").sha256
