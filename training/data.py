"""Load a classification data set: any tfds name, a `.npz` file, or a folder of IDX files."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from training import debian, idx, store
from training.dataset import Dataset, Split, checked_dataset, checked_split
from training.errors import BadDataError

TEST_FRACTION = 0.2
ARRAYS = ("image", "label", "label_names", "image_test", "label_test")
"""What is read of a `.npz`."""
FASHION_MNIST = "fashion_mnist"
_SHOWN = 10


def load(source: str, seed: int = 0, data_dir: str | None = None, folder: Path | None = None) -> Dataset:
    """Load `source`: a path if one is there or it looks like one, otherwise a tfds name.

    `seed` splits a `.npz` that has no test images; `data_dir` is tfds's, by default $TFDS_DATA_DIR or
    ~/tensorflow_datasets. With a `folder` the images are streamed from a file in it, for data sets larger than memory.
    Raises: BadDataError, in one sentence, for everything that is wrong with the data.
    """
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path raises for a user that there is not
    is_folder = path.is_dir() and ("/" in source or idx.holds_idx(path))
    if path.is_file() or is_folder or path.suffix in (".npz", ".gz") or source.startswith((".", "/", "~")):
        return load_data_from_file(path, seed, folder)
    return load_tf_data(source, data_dir, folder)


def load_tf_data(name: str, data_dir: str | None = None, folder: Path | None = None) -> Dataset:
    """Load the tfds data set `name`: prepared data, else tfds's download, else Debian's package for Fashion-MNIST.

    Whatever way it came, it is then on disk as a prepared tfds data set.
    Raises: BadDataError for a name, kind of data or machine with which this does not work.
    """
    from training import prepared  # noqa: PLC0415 - files need no TensorFlow

    builder = prepared.open_builder(name, data_dir)
    if not builder.is_prepared():
        _obtain(builder)
        builder = prepared.open_builder(name, data_dir)
    return prepared.read(builder, folder)


def _obtain(builder: Any) -> None:
    from training import prepared  # noqa: PLC0415

    try:
        prepared.download(builder)
    except BadDataError as error:
        if builder.name != FASHION_MNIST:
            raise BadDataError(f"{builder.name} is not prepared and tfds could not download it: {error}") from error
        _obtain_from_debian(builder, str(error))


def _obtain_from_debian(builder: Any, download_error: str) -> None:
    from training import prepared  # noqa: PLC0415

    click.echo(f"tensorflow-datasets could not download {FASHION_MNIST}: {download_error}", err=True)
    try:
        with debian.fashion_mnist_folder() as folder:
            train, test = idx.read_folder(folder)
    except BadDataError as error:
        raise BadDataError(
            f"{FASHION_MNIST} cannot be had in any of three ways: prepared tfds data in {builder.data_path} "
            f"(not there; TFDS_DATA_DIR names another place); tfds's download ({download_error}); "
            f"Debian's package {debian.PACKAGE} ({error})"
        ) from error
    prepared.write(builder, train, test)


def load_data_from_file(path: Path, seed: int = 0, folder: Path | None = None) -> Dataset:
    """Load a `.npz` file or a folder of IDX files (MNIST's four names, plain or .gz).

    A `.npz` holds `image` (uint8) and `label` (integers), maybe `label_names`, maybe `image_test` and `label_test`;
    without those two a fifth of the images, chosen by `seed`, becomes the test split. Streamed from `folder`, a `.npz`
    is never in memory as a whole; IDX files are, once.
    Raises: BadDataError, saying what was found and what is expected.
    """
    if path.is_dir():
        train, test = idx.read_folder(path)
        if folder is not None:
            train, test = (store.taken(split, np.arange(len(split)), folder) for split in (train, test))
        return checked_dataset(path.resolve().name, train, test)
    if not path.exists():
        raise BadDataError(f"{path} does not exist")
    return _dataset_of(path, _read_npz(path, folder), seed, folder)


def _read_npz(path: Path, folder: Path | None) -> dict[str, npt.NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise BadDataError(f"{path} is no .npz file (a zip of NumPy arrays), or a truncated one")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = _checked_names(path, file.files)
            if folder is None:
                return {key: file[key] for key in found}
            return {key: store.read_member(file, key, folder) for key in found}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise BadDataError(f"{path} holds pickled Python objects, which are never loaded: {error}") from None
        raise BadDataError(f"{path} is damaged: {error}") from None
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadDataError(f"{path} is damaged: {error}") from None


def _checked_names(path: Path, names: Sequence[str]) -> list[str]:
    missing = [key for key in ("image", "label") if key not in names]
    if missing:
        more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
        found = ", ".join(names[:_SHOWN]) or "nothing"
        raise BadDataError(f"{path} has no {' and no '.join(missing)}; it holds {found}{more}")
    if ("image_test" in names) != ("label_test" in names):
        raise BadDataError(f"{path} has only one of image_test and label_test; give both or neither")
    return [key for key in ARRAYS if key in names]


def _dataset_of(path: Path, arrays: dict[str, npt.NDArray[Any]], seed: int, folder: Path | None) -> Dataset:
    train = checked_split(str(path), arrays["image"], arrays["label"])
    if "image_test" in arrays:
        test = checked_split(f"{path} (test)", arrays["image_test"], arrays["label_test"])
    else:
        train, test = split_test(str(path), train, seed, folder)
    return checked_dataset(path.stem, train, test, _label_names(path, arrays.get("label_names")))


def split_test(what: str, examples: Split, seed: int, folder: Path | None = None) -> tuple[Split, Split]:
    """Split a fifth off for testing, by a seeded permutation; both parts keep the order of `examples`."""
    count = round(len(examples) * TEST_FRACTION)
    if count == 0:
        raise BadDataError(f"{what}: {len(examples)} images are too few to split some off for testing")
    order = np.random.default_rng(seed).permutation(len(examples))
    rest, chosen = np.sort(order[count:]), np.sort(order[:count])
    return store.taken(examples, rest, folder), store.taken(examples, chosen, folder)


def _label_names(path: Path, names: npt.NDArray[Any] | None) -> list[str] | None:
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise BadDataError(
            f"{path}: label_names are {names.dtype} of shape {names.shape}; expected strings, (classes,)"
        )
    return [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names.tolist()]
