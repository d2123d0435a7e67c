"""Run directories: one per training, made atomically, never overwritten, complete once `metrics.json` is there."""

import errno
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from training import store
from training.dataset import Dataset, Split, checked_dataset, checked_split
from training.errors import ConfigurationError

FOLDERS = ("models", "history", "predictions", "figures")
PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "matplotlib")


@dataclass(frozen=True)
class Run:
    """One run directory and the places in it."""

    path: Path

    @property
    def config(self) -> Path:
        """What was asked for and with what: options, data set, versions, commit."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """The results; written last, so that its presence says that the run is complete."""
        return self.path / "metrics.json"

    @property
    def reference(self) -> Path:
        """Class mix, confidence statistics and golden inputs, for whoever watches the model later."""
        return self.path / "reference.json"

    @property
    def best_model(self) -> Path:
        """The epoch with the best validation accuracy, as Keras reads it."""
        return self.path / "models" / "best.keras"

    @property
    def state(self) -> Path:
        """All that is needed to go on after the last finished epoch; gone once the run is complete."""
        return self.path / "models" / "last.npz"

    @property
    def saved_model(self) -> Path:
        """The same epoch as a SavedModel whose signature takes raw bytes."""
        return self.path / "models" / "saved_model"

    @property
    def history(self) -> Path:
        """One list per metric, one value per epoch."""
        return self.path / "history" / "history.json"

    @property
    def measurements(self) -> Path:
        """What `training.measure` registers, one list per metric, for the epochs of the list `epoch`."""
        return self.path / "history" / "measurements.json"

    @property
    def logs(self) -> Path:
        """Where TensorBoard looks: `tensorboard --logdir RUN/logs`."""
        return self.path / "logs"

    @property
    def figures(self) -> Path:
        """Where the plots go."""
        return self.path / "figures"

    def predictions(self, split: str) -> Path:
        """Images, labels and probabilities of `split`, train or test."""
        return self.path / "predictions" / f"{split}.npz"

    @property
    def hardest(self) -> Path:
        """The test images with the highest loss: index, label, predicted class, its probability, and the loss."""
        return self.path / "predictions" / "hardest.json"

    @property
    def complete(self) -> bool:
        """Whether the training got to its end."""
        return self.metrics.is_file()


def create(root: Path, architecture: str, data: str, now: datetime | None = None) -> Run:
    """Make `root/<UTC time>-<architecture>-<data>`; two runs of one second get different names."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    name = f"{stamp}-{_plain(architecture)}-{_plain(data)}"
    with _clear_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        run = Run(_make_new(root, name))
        for folder in FOLDERS:
            (run.path / folder).mkdir()
    return run


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("_.") or "data"


def _make_new(root: Path, stem: str, suffix: str = "", make: Callable[[Path], None] = Path.mkdir) -> Path:
    attempt = 1
    while True:
        path = root / f"{stem if attempt == 1 else f'{stem}-{attempt}'}{suffix}"
        try:
            make(path)
        except FileExistsError:
            attempt += 1
        else:
            return path


def new_file(root: Path, stem: str, suffix: str) -> Path:
    """An empty file in `root` that was not there before."""
    with _clear_errors(root):
        return _make_new(root, stem, suffix, partial(Path.touch, exist_ok=False))


def newest(root: Path) -> Run:
    """The complete run under `root` that was created last; crashed and running ones are skipped.

    Raises: ConfigurationError when there is none.
    """
    runs = [Run(p.parent) for p in root.glob("*/metrics.json")]
    if not runs:
        raise ConfigurationError(f"there is no complete run in {root}: train one with `python -m training`")
    return max(runs, key=lambda run: (read_json(run.config)["created"], run.path.name))


def opened(path: Path) -> Run:
    """The complete run at `path`.

    Raises: ConfigurationError when it is no run directory, or its training did not get to its end.
    """
    run = Run(path)
    if not run.complete:
        raise ConfigurationError(f"{path} is no complete run: it has no metrics.json")
    return run


def describe(architecture: str, options: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """The content of `config.json`."""
    return {
        "created": datetime.now(UTC).isoformat(),
        "architecture": architecture,
        "options": dict(options),
        "dataset": {
            "name": dataset.name,
            "label_names": list(dataset.label_names),
            "image_shape": list(dataset.image_shape),
            "image_dtype": "uint8",
            "train_count": len(dataset.train),
            "test_count": len(dataset.test),
        },
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in PACKAGES},
        "git_commit": git_commit(),
    }


def load_dataset(run: Run, folder: Path | None = None) -> Dataset:
    """The very data that `run` was trained and tested on, as it keeps them beside its predictions.

    With a `folder` the images are streamed from a file in it.
    Raises: ConfigurationError when the files are missing or damaged.
    """
    described = read_json(run.config)["dataset"]
    train, test = (_load_split(run, split, folder) for split in ("train", "test"))
    return checked_dataset(described["name"], train, test, described["label_names"])


def _load_split(run: Run, split: str, folder: Path | None) -> Split:
    path = run.predictions(split)
    try:
        with np.load(path, allow_pickle=False) as file:
            images = file["image"] if folder is None else store.read_member(file, "image", folder)
            return checked_split(str(path), images, file["label"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None


def git_commit() -> str | None:
    """The commit of this source tree, or None outside git."""
    git = shutil.which("git")
    if git is None:
        return None
    answer = subprocess.run(
        [git, "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that takes its place when the block ends without an error."""
    with _clear_errors(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        raise ConfigurationError(f"cannot write {path}: {reason}") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON without NaN, atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote.

    Raises: ConfigurationError when it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} does not hold a JSON object")
    return content


def write_predictions(run: Run, split: str, dataset: Dataset, probabilities: npt.NDArray[np.float32]) -> None:
    """Write `predictions/<split>.npz` with image, label, label_names and probabilities, atomically.

    `split` is "train" or "test". The edge's query app reads the file as it is.
    """
    examples: Split = getattr(dataset, split)
    names = np.array(dataset.label_names)
    with replacing(run.predictions(split)) as temporary, temporary.open("wb") as file:
        np.savez(file, image=examples.images, label=examples.labels, label_names=names, probabilities=probabilities)


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, atomically."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
