"""The ways in which an image may be written in a request, each read into the bytes that its contract asks for."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edge import jsontext, npy
from edge.contract import Contract
from edge.errors import BadRequestError

OCTETS, NPY, JSON = "application/octet-stream", "application/x-npy", "application/json"

_JSON_BYTES_PER_NUMBER = 32
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def decode(value: bytes, content_type: str, contract: Contract) -> bytes:
    """The pixels in `value`: the contract's bytes, little-endian and in C order.

    Raises: BadRequestError saying what is wrong; sizes are checked before anything is allocated.
    """
    read = _DECODERS.get(content_type)
    if read is None:
        raise BadRequestError(f"the content-type {content_type[:100]!r} is unknown; use one of {', '.join(_DECODERS)}")
    pixels = read(value, contract)
    if contract.dtype == "float32" and not np.isfinite(np.frombuffer(pixels, "<f4")).all():
        raise BadRequestError("the image has pixels that are not finite numbers")
    return pixels


def _from_octets(value: bytes, contract: Contract) -> bytes:
    if len(value) != contract.input_bytes:
        raise BadRequestError(
            f"the value has {len(value):,} bytes; an image of shape {contract.shape} of {contract.dtype} "
            f"has {contract.input_bytes:,}"
        )
    return value


def _from_npy(value: bytes, contract: Contract) -> bytes:
    shape, pixels = npy.parse(value, contract.dtype, len(contract.shape) + 2)
    _check_shape(shape, contract.shape)
    return pixels


def _from_json(value: bytes, contract: Contract) -> bytes:
    count, rank = math.prod(contract.shape), len(contract.shape) + 2
    limits = jsontext.Limits(64 + _JSON_BYTES_PER_NUMBER * count, rank, (rank + 1) * count + rank)
    try:
        document = jsontext.parse(value, limits)
    except ValueError as error:
        raise BadRequestError(f"the value cannot be read as the JSON of an image: {error}") from None
    shape = _nested_shape(document, rank)
    _check_shape(shape, contract.shape)
    numbers = _flatten(document, shape)
    accepted = _is_pixel if contract.dtype == "uint8" else _is_float
    if not all(accepted(number) for number in numbers):
        wanted = "integers from 0 to 255" if contract.dtype == "uint8" else "numbers of float32"
        raise BadRequestError(f"the JSON lists must hold {wanted}")
    return np.array(numbers, np.dtype(contract.dtype).newbyteorder("<")).tobytes()


def _nested_shape(document: object, max_rank: int) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(document, list) and len(shape) <= max_rank:
        shape.append(len(document))
        document = document[0] if document else None
    return tuple(shape)


def _flatten(document: Any, shape: tuple[int, ...]) -> list[Any]:
    items = [document]
    for size in shape:
        if not all(isinstance(item, list) and len(item) == size for item in items):
            raise BadRequestError("the JSON lists differ in length or depth")
        items = [inner for item in items for inner in item]
    return items


def _is_pixel(number: object) -> bool:
    return type(number) is int and 0 <= number <= 255


def _is_float(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= _FLOAT32_MAX


@functools.lru_cache(64)
def _check_shape(shape: tuple[int, ...], own: tuple[int, ...]) -> None:
    accepted = {own, own[:-1] if own[-1] == 1 else (*own, 1)}
    if shape not in accepted and not (shape[:1] == (1,) and shape[1:] in accepted):
        raise BadRequestError(f"the image has shape {shape}; the model takes {own}")


_DECODERS: dict[str, Callable[[bytes, Contract], bytes]] = {OCTETS: _from_octets, NPY: _from_npy, JSON: _from_json}
