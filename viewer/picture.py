"""What a request's image looks like on the page: a few bytes, grey or colour, whatever the contract's shape."""

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.codec import decode_request
from edge.contract import Contract
from edge.errors import BadRequestError
from edge.records import Record

MAX_SIDE = 128
"""Larger images are shown with every n-th pixel."""


def picture(record: Record, contract: Contract) -> dict[str, Any] | None:
    """Width, height, channels (1 or 3) and base64 of the uint8 pixels [height, width, channels].

    None for a request that is no image of the contract.
    """
    try:
        pixels = decode_request(record, contract).pixels
    except BadRequestError:
        return None
    image = shown(np.frombuffer(pixels, np.dtype(contract.dtype).newbyteorder("<")).reshape(contract.shape), contract)
    height, width, channels = image.shape
    return {"w": width, "h": height, "c": channels, "data": base64.b64encode(image.tobytes()).decode()}


def shown(image: npt.NDArray[Any], contract: Contract) -> npt.NDArray[np.uint8]:
    """An array of the contract's shape as uint8 [height, width, 1 or 3], at most MAX_SIDE on each side.

    Of more than three axes the first are left out but for their first item, of other numbers of channels all but the
    first; floats are stretched from the least to the greatest.
    """
    while image.ndim > 3:
        image = image[0]
    if image.ndim == 1:
        image = image[np.newaxis]
    if image.ndim == 2:
        image = image[..., np.newaxis]
    elif contract.layout == "CHW":
        image = image.transpose(1, 2, 0)
    if image.shape[2] not in (1, 3):
        image = image[..., :1]
    step = -(-max(image.shape[:2]) // MAX_SIDE)
    image = image[::step, ::step]
    return image if image.dtype == np.uint8 else _stretched(image)


def _stretched(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    values = image.astype(np.float64)
    least, greatest = float(values.min()), float(values.max())
    span = greatest - least
    scaled = (values - least) * (255 / span) if span > 0 else np.zeros_like(values)
    return np.asarray(scaled.round(), np.uint8)
