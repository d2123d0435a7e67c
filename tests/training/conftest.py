"""Small data sets that every training test can afford, and one real training on them."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from training.dataset import Dataset, Split, checked_dataset
from training.recipes import Recipe
from training.runs import Run

Arrays = dict[str, npt.NDArray[Any]]

THIRD_PARTY_WARNINGS = (
    "ignore:__array__ implementation doesn't accept a copy keyword",  # keras saving .keras under NumPy 2.4
)


def pytest_configure(config: pytest.Config) -> None:
    for line in THIRD_PARTY_WARNINGS:
        config.addinivalue_line("filterwarnings", line)


def separable(count: int, shape: tuple[int, int, int], classes: int, seed: int) -> Split:
    """Noise with one bright band of rows per class, which a convolution learns within an epoch or two."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.integers(0, 80, (count, *shape), dtype=np.uint8)
    band = shape[0] // classes
    for image, label in zip(images, labels, strict=True):
        image[label * band : (label + 1) * band] += 150
    return Split(images, labels.astype(np.int64))


@pytest.fixture(scope="session")
def make_split() -> Callable[..., Split]:
    return separable


@pytest.fixture(scope="session")
def bands() -> Dataset:
    """Three classes of 12x10 colour images, 300 to train and 90 to test."""
    names = ["top", "middle", "bottom"]
    return checked_dataset("bands", separable(300, (12, 10, 3), 3, 1), separable(90, (12, 10, 3), 3, 2), names)


@pytest.fixture(scope="session")
def bands_npz(bands: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("npz") / "bands.npz"
    np.savez(
        path,
        image=bands.train.images,
        label=bands.train.labels,
        image_test=bands.test.images,
        label_test=bands.test.labels,
        label_names=np.array(bands.label_names),
    )
    return path


@pytest.fixture(scope="session")
def trained(bands_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A complete run of LeNet on `bands`."""
    from training import train  # noqa: PLC0415 - TensorFlow only where a test needs it

    options = train.Options(data=str(bands_npz), recipe=Recipe(epochs=3, batch_size=32), visualise_every=2)
    return train.train_and_evaluate(options, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[[npt.NDArray[np.uint8]], bytes]:
    """An array in the IDX format."""

    def encode(array: npt.NDArray[np.uint8]) -> bytes:
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        return header + array.tobytes()

    return encode


@pytest.fixture
def idx_folder(tmp_path: Path, idx_bytes: Callable[[npt.NDArray[np.uint8]], bytes]) -> Path:
    """A folder with MNIST's four files: six grey 5x4 images to train and three to test, labels 0 to 2."""
    folder = tmp_path / "my-digits"
    folder.mkdir()
    for name, count in (("train", 6), ("t10k", 3)):
        images = np.arange(count * 20, dtype=np.uint8).reshape(count, 5, 4)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(count, dtype=np.uint8) % 3))
    return folder
