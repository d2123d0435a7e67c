"""Where images lie: in memory, or, for data sets larger than it, in a file that is read page by page.

Such a file has no name in its folder, and its room is free again when the process ends, however it ends.
"""

import math
import os
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from training.dataset import Images, Split
from training.errors import ConfigurationError

CHUNK = 1 << 24
"""Bytes that are in memory at once while a file is filled."""


def empty(shape: tuple[int, ...], folder: Path | None) -> Images:
    """An array uint8 of `shape` to be filled; in a file within `folder` if there is one.

    Raises: ConfigurationError when `folder` has no room for it.
    """
    if folder is None:
        return np.empty(shape, np.uint8)
    size = max(1, math.prod(shape))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _fill(file, size)  # a disk that is full later would kill the process
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot hold the {size / 1e6:.0f} MB of images that --stream keeps there: {error.strerror}"
        ) from error


def _fill(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, CHUNK):  # macOS
        file.write(bytes(min(CHUNK, size - start)))
    file.flush()


def is_streamed(images: Images) -> bool:
    """Whether the images lie in a file."""
    return isinstance(images, np.memmap)


def taken(split: Split, indices: npt.NDArray[np.int64], folder: Path | None) -> Split:
    """The examples at `indices`, in that order, without having them all in memory if there is a folder."""
    images = empty((len(indices), *split.images.shape[1:]), folder)
    step = max(1, CHUNK // math.prod(images.shape[1:]))
    for start in range(0, len(indices), step):
        part = slice(start, start + step)
        images[part] = split.images[indices[part]]
    return Split(images, split.labels[indices])


def read_member(file: Any, name: str, folder: Path) -> npt.NDArray[Any]:
    """Array `name` of an open `.npz`: bytes in C order go into `folder`, chunk by chunk; all else, as NumPy reads it.

    Raises: ValueError for a damaged header or an object, EOFError for an array shorter than its header says.
    """
    with file.zip.open(f"{name}.npy") as member:
        shape, is_fortran, dtype = _header(member)
        if dtype != np.uint8 or is_fortran:
            return np.asarray(file[name])
        array = empty(shape, folder)
        flat = array.reshape(-1)
        for start in range(0, flat.size, CHUNK):
            part = flat[start : start + CHUNK]
            content = member.read(part.size)
            if len(content) != part.size:
                raise EOFError(f"{name} ends after {start + len(content):,} of {flat.size:,} bytes")
            part[:] = np.frombuffer(content, np.uint8)
        return array


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(member)
