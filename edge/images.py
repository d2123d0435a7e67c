"""Images from files, for the query app and the bench: `.npz` of {image, label} and IDX."""

import gzip
import io
import math
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge import npy
from edge.errors import BadDataError

IDX_IMAGES, IDX_LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
MAX_BYTES = 1024**3
"""What one array may take, unpacked."""

_ARRAYS = ("image", "label", "label_names")
_STEP_BYTES = 1024 * 1024
_DAMAGED = (OSError, EOFError, zlib.error)


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


def load_images(path: Path, max_bytes: int = MAX_BYTES) -> Images:
    """Read a `.npz`, an IDX file of images (its labels beside it), or a folder that holds one.

    A folder's test images (`t10k-…`) come before its training images. No array may take more than `max_bytes`.

    Raises: BadDataError naming the file and what is wrong with it.
    """
    if not (path.is_file() or path.is_dir()):
        raise BadDataError(f"there is no file or folder {path.absolute()}: name a .npz, an IDX file or a folder")
    images = _load_npz(path, max_bytes) if path.suffix == ".npz" else _load_idx(_find_idx(path), max_bytes)
    if len(images.image) == 0:
        raise BadDataError(f"{path} holds no image")
    return images


def _load_npz(path: Path, max_bytes: int) -> Images:
    try:
        with zipfile.ZipFile(path) as archive:
            there = [name for name in _ARRAYS if f"{name}.npy" in archive.namelist()]
            arrays = {name: _member(archive, f"{name}.npy", max_bytes) for name in there}
            names = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:10])
    except BadDataError as error:
        raise BadDataError(f"{path} cannot be read: {error.message}") from None
    except (*_DAMAGED, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise BadDataError(f"{path} cannot be read as .npz ({error})") from None
    if "image" not in arrays:
        raise BadDataError(f"{path} has no array 'image'; it has: {names or 'none'}")
    image, label = arrays["image"], arrays.get("label")
    if image.dtype != np.uint8 or image.ndim < 2:
        raise BadDataError(
            f"{path}: 'image' is {image.dtype} of shape {image.shape}; it must be uint8 of (count, height, width, …)"
        )
    return Images(image, _labels(path, label, len(image)), _names(path, arrays.get("label_names"), label))


def _member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> npt.NDArray[Any]:
    """One array, which takes as much memory as the directory of the archive says, and no more than `max_bytes`."""
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python unpacks the others in steps of unbounded size.
        raise BadDataError(f"{name} is packed in a way that numpy does not use")
    if entry.file_size > max_bytes:
        raise BadDataError(f"{name} has {entry.file_size:,} bytes; at most {max_bytes:,} are accepted")
    with archive.open(entry) as file:
        return npy.load(_read(file.read, entry.file_size))


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
    codes = np.frombuffer(names.astype(names.dtype.newbyteorder("=")).tobytes(), np.uint32)
    # Four bytes of a file need not be a character, and numpy does not look.
    if ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any():
        raise BadDataError(f"{path}: 'label_names' holds what is no text")
    return tuple(str(name) for name in names)


def _find_idx(path: Path) -> Path:
    if path.is_file():
        return path
    found = [file for prefix in ("t10k", "") for file in sorted(path.glob(f"{prefix}*{IDX_IMAGES}*"))]
    if not found:
        raise BadDataError(f"the folder {path} holds no IDX file of images (…{IDX_IMAGES}, plain or .gz)")
    return found[0]


def _load_idx(path: Path, max_bytes: int) -> Images:
    image = _read_idx(path, 3, max_bytes)
    labels = path.with_name(path.name.replace(IDX_IMAGES, IDX_LABELS))
    if labels == path or not labels.exists():
        return Images(image)
    label = _read_idx(labels, 1, max_bytes)
    if len(label) != len(image):
        raise BadDataError(f"{labels} has {len(label)} labels for {len(image)} images")
    return Images(image, label)


def _read_idx(path: Path, rank: int, max_bytes: int) -> npt.NDArray[np.uint8]:
    """One IDX file of unsigned bytes; the format is that of the MNIST data set's authors."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * rank)
            if header[:4] != bytes([0, 0, 8, rank]) or len(header) != 4 + 4 * rank:
                raise BadDataError(f"{path} is no IDX file of {rank} dimensions of unsigned bytes")
            shape = tuple(int.from_bytes(header[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank))
            size = math.prod(shape)
            if size > max_bytes:
                raise BadDataError(f"{path} says that it holds {shape}: more than {max_bytes:,} bytes")
            data = _read(file.read, size + 1)
    except _DAMAGED as error:
        raise BadDataError(f"{path} cannot be read ({error})") from None
    if len(data) != size:
        raise BadDataError(f"{path} says that it holds {shape}, but has {len(data):,} bytes of {size:,}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read(read: Callable[[int], bytes], size: int) -> bytes:
    """Up to `size` bytes, in steps: a single read would allocate whatever a header claims."""
    buffer = io.BytesIO()
    while buffer.tell() < size and (step := read(min(_STEP_BYTES, size - buffer.tell()))):
        buffer.write(step)
    return buffer.getvalue()
