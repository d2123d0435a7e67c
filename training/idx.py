"""Strict reader of IDX files, the format of MNIST and its relatives, plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.dataset import Split, checked_split
from training.errors import BadDataError

UNSIGNED_BYTE = 0x08
FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip


def read_idx(path: Path, dimensions: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes whose number of dimensions is one of `dimensions`.

    The format: two zero bytes, a type code, the number of dimensions, each dimension as big-endian uint32, the data.
    Raises: BadDataError for a wrong magic number, a size that contradicts the header, or a damaged gzip stream.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise BadDataError(f"{path} is not an IDX file: it begins with {content[:4].hex() or 'nothing'}")
    kind, rank = content[2], content[3]
    if kind != UNSIGNED_BYTE or rank not in dimensions:
        wanted = " or ".join(f"{UNSIGNED_BYTE:06x}{d:02x}" for d in dimensions)
        raise BadDataError(f"{path} has the IDX magic number {content[:4].hex()}; expected {wanted}")
    start = 4 + 4 * rank
    shape = tuple(int(d) for d in np.frombuffer(content[4:start], ">u4")) if len(content) >= start else ()
    expected = start + math.prod(shape)
    if len(shape) != rank or len(content) != expected:
        raise BadDataError(f"{path} is truncated or damaged: {len(content):,} bytes, its header says {expected:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadDataError(f"{path} is truncated or damaged: {error}") from None
    except OSError as error:
        raise BadDataError(f"cannot read {path}: {error.strerror or error}") from None


def find(folder: Path, stem: str) -> Path | None:
    """The file `stem` in `folder`, plain or `.gz`; also with the dot that some archives have (`-images.idx3-ubyte`)."""
    names = [stem, stem.replace("-idx", ".idx")]
    candidates = [folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz")]
    return next((c for c in candidates if c.is_file()), None)


def holds_idx(folder: Path) -> bool:
    """Whether any of the four IDX files lies in `folder`."""
    return any(find(folder, stem) for stems in FILES.values() for stem in stems)


def read_folder(folder: Path) -> tuple[Split, Split]:
    """Train and test splits of a folder that holds the four files of MNIST's naming.

    Raises: BadDataError when a file is missing or cannot be read.
    """
    missing = [stem for stems in FILES.values() for stem in stems if find(folder, stem) is None]
    if missing:
        raise BadDataError(f"{folder}: no {', '.join(missing)} (plain or .gz)")
    return _read_split(folder, "train"), _read_split(folder, "test")


def _read_split(folder: Path, split: str) -> Split:
    images, labels = (find(folder, stem) for stem in FILES[split])
    assert images is not None  # noqa: S101 - read_folder has looked
    assert labels is not None  # noqa: S101
    return checked_split(str(images), read_idx(images, (3, 4)), read_idx(labels, (1,)))
