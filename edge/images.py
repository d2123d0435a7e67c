"""Images from files, for the query app and the bench: `.npz` of {image, label} and IDX."""

import gzip
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import BadDataError

IDX_IMAGES, IDX_LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
MAX_IDX_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Images:
    """`image` is uint8 [N, …]; `label`, class numbers [N], and `label_names` are None where they are not known."""

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.integer[Any]] | None = None
    label_names: tuple[str, ...] | None = None

    def true_label(self, index: int) -> str | None:
        """The name of an image's class, or its number where classes have no names."""
        if self.label is None:
            return None
        number = int(self.label[index])
        return str(number) if self.label_names is None else self.label_names[number]


def load_images(path: Path) -> Images:
    """Read a `.npz`, an IDX file of images (its labels beside it), or a folder that holds one.

    A folder's test images (`t10k-…`) come before its training images.

    Raises: BadDataError naming the file and what is wrong with it.
    """
    if not (path.is_file() or path.is_dir()):
        raise BadDataError(f"there is no file or folder {path}: name a .npz, an IDX file or a folder of them")
    images = _load_npz(path) if path.suffix == ".npz" else _load_idx(_find_idx(path))
    if len(images.image) == 0:
        raise BadDataError(f"{path} holds no image")
    return images


def _load_npz(path: Path) -> Images:
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise BadDataError(f"{path} holds one array; a .npz of 'image' and 'label' is needed")
            if "image" not in arrays:
                raise BadDataError(f"{path} has no array 'image'; it has: {', '.join(arrays) or 'none'}")
            image, label, names = arrays["image"], arrays.get("label"), arrays.get("label_names")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadDataError(f"{path} cannot be read as .npz without pickles ({error})") from None
    if image.dtype != np.uint8 or image.ndim < 2:
        raise BadDataError(
            f"{path}: 'image' is {image.dtype} of shape {image.shape}; it must be uint8 of (count, height, width, …)"
        )
    return Images(image, _labels(path, label, len(image)), _names(path, names, label))


def _labels(path: Path, label: npt.NDArray[Any] | None, count: int) -> npt.NDArray[np.integer[Any]] | None:
    if label is None:
        return None
    if label.shape != (count,) or label.dtype.kind not in "iu":
        raise BadDataError(
            f"{path}: 'label' is {label.dtype} of shape {label.shape}; it must be integers of ({count},)"
        )
    return label


def _names(path: Path, names: npt.NDArray[Any] | None, label: npt.NDArray[Any] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind != "U":
        raise BadDataError(f"{path}: 'label_names' is {names.dtype} of shape {names.shape}; it must be a list of texts")
    if label is not None and label.size and not 0 <= label.min() <= label.max() < len(names):
        raise BadDataError(f"{path}: 'label' runs to {label.max()}, but there are {len(names)} 'label_names'")
    return tuple(str(name) for name in names)


def _find_idx(path: Path) -> Path:
    if path.is_file():
        return path
    found = [file for prefix in ("t10k", "") for file in sorted(path.glob(f"{prefix}*{IDX_IMAGES}*"))]
    if not found:
        raise BadDataError(f"the folder {path} holds no IDX file of images (…{IDX_IMAGES}, plain or .gz)")
    return found[0]


def _load_idx(path: Path) -> Images:
    image = _read_idx(path, 3)
    labels = path.with_name(path.name.replace(IDX_IMAGES, IDX_LABELS))
    if labels == path or not labels.exists():
        return Images(image)
    label = _read_idx(labels, 1)
    if len(label) != len(image):
        raise BadDataError(f"{labels} has {len(label)} labels for {len(image)} images")
    return Images(image, label)


def _read_idx(path: Path, rank: int) -> npt.NDArray[np.uint8]:
    """One IDX file of unsigned bytes; the format is that of the MNIST data set's authors."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * rank)
            if header[:4] != bytes([0, 0, 8, rank]) or len(header) != 4 + 4 * rank:
                raise BadDataError(f"{path} is no IDX file of {rank} dimensions of unsigned bytes")
            shape = tuple(int.from_bytes(header[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank))
            size = math.prod(shape)
            if size > MAX_IDX_BYTES:
                raise BadDataError(f"{path} says that it holds {shape}: more than {MAX_IDX_BYTES:,} bytes")
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadDataError(f"{path} cannot be read ({error})") from None
    if len(data) != size:
        raise BadDataError(f"{path} says that it holds {shape}, but has {len(data):,} bytes of {size:,}")
    return np.frombuffer(data, np.uint8).reshape(shape)
