"""A strict parser of the npy format, versions 1 to 3: for images in requests, and for the arrays in a .npz.

The format is numpy's (numpy.lib.format). No eval and no pickle: the header's dictionary is matched, not interpreted.
"""

import functools
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import BadDataError, BadRequestError

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 4096
KINDS = "biufU"
"""Kinds of dtype that hold plain values: booleans, integers, floats, texts."""

# Each number but the last ends with its comma: with one way to match, the time to fail is linear.
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([<>|=]?[a-zA-Z]\d{0,6})',\s*'fortran_order':\s*(True|False),"
    rb"\s*'shape':\s*\(((?:\d{1,12},\s*)*(?:\d{1,12})?)\),?\s*\}\s*"
)


@dataclass(frozen=True, slots=True)
class Header:
    """What an npy header says; the values begin at byte `start`."""

    descr: str
    is_fortran: bool
    shape: tuple[int, ...]
    start: int


def parse(data: bytes, dtype: str, max_rank: int) -> tuple[tuple[int, ...], bytes]:
    """Shape and values of the array in `data`, little-endian and in C order.

    Raises: BadRequestError unless the header is well-formed, the dtype is `dtype` in little-endian order, the rank is
    at most `max_rank`, the order is C's, and the pixels have just the size that the shape says.
    """
    # All of a sender's headers are alike: only the first one is parsed.
    is_usual = data[6:7] == b"\1"
    end = 10 + int.from_bytes(data[8:10], "little") if is_usual else 12 + MAX_HEADER_BYTES
    header, size = _image_header(data[:end], dtype, max_rank)
    if len(data) - header.start != size:
        raise BadRequestError(
            f"the npy array of shape {header.shape} needs {size:,} bytes and has {len(data) - header.start:,}"
        )
    return header.shape, data[header.start :]


@functools.lru_cache(64)
def _image_header(data: bytes, dtype: str, max_rank: int) -> tuple[Header, int]:
    """The header that begins `data`, and how many bytes of pixels must follow."""
    try:
        header = read_header(data)
    except BadDataError as error:
        raise BadRequestError(error.message) from None
    expected = np.dtype(dtype).newbyteorder("<")
    if header.descr not in (expected.str, expected.str.replace("|", "<")):
        raise BadRequestError(f"the npy array is of dtype {header.descr!r}; the model takes {expected.str!r}")
    if header.is_fortran:
        raise BadRequestError("the npy array is in Fortran order; C order is needed")
    if len(header.shape) > max_rank:
        raise BadRequestError(f"the npy array has {len(header.shape)} dimensions, more than an image has")
    return header, math.prod(header.shape) * expected.itemsize


def load(data: bytes) -> npt.NDArray[Any]:
    """The array in `data`, of any plain dtype and in either order, a read-only view of it.

    Raises: BadDataError unless the header is well-formed and the values have just the size that it says.
    """
    header = read_header(data)
    try:
        dtype = np.dtype(header.descr)
    except TypeError:
        raise BadDataError(f"the dtype {header.descr!r} is unknown") from None
    if dtype.kind not in KINDS or dtype.itemsize == 0:
        raise BadDataError(f"an array of dtype {header.descr!r} is not read: it is no plain number or text")
    if len(header.shape) > 32 or math.prod(header.shape) * dtype.itemsize != len(data) - header.start:
        raise BadDataError(
            f"an array claims shape {header.shape[:8]} of {header.descr!r}, but has {len(data) - header.start:,} bytes"
        )
    values = np.frombuffer(data, dtype, offset=header.start)
    return values.reshape(header.shape[::-1]).T if header.is_fortran else values.reshape(header.shape)


def read_header(data: bytes) -> Header:
    """The header of an npy file.

    Raises: BadDataError where it is truncated, too long or not as numpy writes it.
    """
    if data[:6] != MAGIC or len(data) < 10:
        raise BadDataError("the value does not begin as npy does")
    width = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}.get(bytes(data[6:8]))
    if width is None:
        raise BadDataError(f"npy version {data[6]}.{data[7]} is unknown")
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    if size > MAX_HEADER_BYTES or start > len(data):
        raise BadDataError("the npy header is truncated or too long")
    match = _HEADER.fullmatch(data[8 + width : start])
    if match is None:
        raise BadDataError("the npy header is malformed")
    descr, fortran, numbers = match.groups()
    if b"," not in numbers and numbers:
        raise BadDataError("the npy header is malformed: its shape is no tuple")
    shape = tuple(int(number) for number in numbers.replace(b",", b" ").split())
    return Header(descr.decode("ascii"), fortran == b"True", shape, start)
