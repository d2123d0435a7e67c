"""Requests to pictures that a person can look at, shrunk to fit."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from edge import npy
from edge.codec import CONTENT_TYPE, decode_request, header, stacked
from edge.contract import MAX_RANK, Contract
from edge.errors import BadDataError
from edge.halfblocks import Picture
from edge.pixels import NPY, OCTETS
from edge.records import Record

_DTYPES = {"|u1": "uint8", "<u1": "uint8", "<f4": "float32"}
_CHANNELS = (1, 3, 4)


def picture_of(record: Record, contract: Contract | None, height: int, width: int) -> Picture:
    """The picture in a request, at most so high and wide; see `assumed` for what is done without a contract.

    Raises: BadDataError for what is no picture.
    """
    contract = contract or assumed(record)
    (pixels,) = stacked([decode_request(record, contract)], contract)
    return visible(pixels, contract.layout, height, width)


def assumed(record: Record) -> Contract:
    """What can be told from a request alone: an npy array has its shape, raw bytes are a square, grey or RGB.

    Raises: BadDataError for anything else.
    """
    value, content_type = record.value or b"", header(record, CONTENT_TYPE) or OCTETS
    if content_type == NPY:
        head = npy.read_header(value)
        dtype, shape = _DTYPES.get(head.descr), head.shape
        if dtype is None or not 0 < len(shape) <= MAX_RANK or 0 in shape:
            raise BadDataError(f"an array of {head.descr} and shape {shape[:8]} is no picture")
        return _contract(dtype, shape, "")
    square = _square(len(value)) if content_type == OCTETS else None
    if square is None:
        raise BadDataError("nothing tells the shape of the image: name its --contract")
    return _contract("uint8", square, "HWC")


def visible(pixels: npt.NDArray[Any], layout: str, height: int, width: int) -> Picture:
    """Pixels of a contract's shape and layout as a picture of at most [height, width]; never larger than they are.

    Of three channels or more the first three are red, green and blue; of fewer, the first one is grey. Floats are taken
    for 0 to 1 or 0 to 255 when they are in there, and stretched to what can be seen otherwise.

    Raises: BadDataError for what has no height and width.
    """
    planes = _planes(pixels, layout)
    picture = _shrunk(planes[..., :3] if planes.shape[-1] >= 3 else planes[..., :1], height, width)
    if pixels.dtype != np.uint8:
        picture = _stretched(picture, float(planes.min()), float(planes.max()))
    rounded = picture.round().astype(np.uint8)
    return np.broadcast_to(rounded, (*rounded.shape[:2], 3))


def _planes(pixels: npt.NDArray[Any], layout: str) -> npt.NDArray[Any]:
    """As [height, width, channels]."""
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim == 1 and (shape := _square(len(pixels))) is not None:
        return pixels.reshape(shape)
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim != 3:
        raise BadDataError(f"pixels of shape {pixels.shape} are no picture")
    is_first = pixels.shape[0] in _CHANNELS and pixels.shape[-1] not in _CHANNELS
    return np.moveaxis(pixels, 0, -1) if layout == "CHW" or (not layout and is_first) else pixels


def _square(values: int) -> tuple[int, int, int] | None:
    """Height, width and channels of a square, grey or RGB, of so many values."""
    sides = {channels: math.isqrt(values // channels) for channels in (1, 3)}
    return next(((n, n, channels) for channels, n in sides.items() if n * n * channels == values > 0), None)


def _shrunk(planes: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.float64]:
    """Each pixel is the mean of what it covers."""
    full_height, full_width = planes.shape[:2]
    factor = max(1.0, full_height / height, full_width / width)
    rows = _starts(full_height, max(1, int(full_height / factor)))
    columns = _starts(full_width, max(1, int(full_width / factor)))
    sums = np.add.reduceat(np.add.reduceat(planes.astype(np.float64), rows, axis=0), columns, axis=1)
    covered = np.outer(np.diff(rows, append=full_height), np.diff(columns, append=full_width))
    means: npt.NDArray[np.float64] = sums / covered[..., None]
    return means


def _starts(size: int, parts: int) -> npt.NDArray[np.intp]:
    return np.arange(parts) * size // parts


def _stretched(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    return (values - low) / (high - low or 1.0) * 255


def _contract(dtype: str, shape: tuple[int, ...], layout: str) -> Contract:
    return Contract("", "", dtype, shape, layout, "", ())
