"""A strict parser of the npy format, versions 1 to 3, for images in requests.

The format is numpy's (numpy.lib.format). No eval and no pickle: the header's dictionary is matched, not interpreted.
"""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import BadRequestError

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 4096

# Each number but the last ends with its comma: with one way to match, the time to fail is linear.
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([<>|=]?[a-z]\d{1,2})',\s*'fortran_order':\s*(True|False),"
    rb"\s*'shape':\s*\(((?:\d{1,9},\s*)*(?:\d{1,9})?)\),?\s*\}\s*"
)


def parse(data: bytes, dtype: str, max_rank: int) -> npt.NDArray[Any]:
    """The array in `data`, a read-only view of it.

    Raises: BadRequestError unless the header is well-formed, the dtype is `dtype` in little-endian order, the rank is
    at most `max_rank`, the order is C's, and the pixels have just the size that the shape says.
    """
    descr, fortran, shape, start = _header(data)
    expected = np.dtype(dtype).newbyteorder("<")
    if descr not in (expected.str, expected.str.replace("|", "<")):
        raise BadRequestError(f"the npy array is of dtype {descr!r}; the model takes {expected.str!r}")
    if fortran:
        raise BadRequestError("the npy array is in Fortran order; C order is needed")
    if len(shape) > max_rank:
        raise BadRequestError(f"the npy array has {len(shape)} dimensions, more than an image has")
    size = math.prod(shape) * expected.itemsize
    if len(data) - start != size:
        raise BadRequestError(f"the npy array of shape {shape} needs {size} bytes and has {len(data) - start}")
    return np.frombuffer(data, expected, offset=start).reshape(shape)


def _header(data: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    if data[:6] != MAGIC or len(data) < 10:
        raise BadRequestError("the value does not begin as npy does")
    width = {1: 2, 2: 4, 3: 4}.get(data[6])
    if width is None:
        raise BadRequestError(f"npy version {data[6]} is unknown")
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    if size > MAX_HEADER_BYTES or start > len(data):
        raise BadRequestError("the npy header is truncated or too long")
    match = _HEADER.fullmatch(data[8 + width : start])
    if match is None:
        raise BadRequestError("the npy header is malformed")
    descr, fortran, numbers = match.groups()
    shape = tuple(int(number) for number in numbers.replace(b",", b" ").split())
    return descr.decode("ascii"), fortran == b"True", shape, start
