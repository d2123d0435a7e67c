"""What a page is told of the model: what it may draw, and what the classes are called."""

from typing import Any

from edge.contract import Contract
from edge.errors import ConfigurationError
from edge.pictures import Target

MAX_LABELS = 1000
"""More are not offered to choose from."""


def told(contract: Contract) -> tuple[dict[str, Any], int | None]:
    """The model as a page takes it, and the size of a picture's bytes, None where none can be drawn."""
    document: dict[str, Any] = {
        "name": contract.name,
        "labels": contract.labels[:MAX_LABELS],
        "shape": contract.shape,
        "dtype": contract.dtype,
        "accuracy": contract.test_accuracy,
        "draw": None,
    }
    try:
        target = Target.of(contract)
    except ConfigurationError:
        return document, None
    document["draw"] = {
        "w": target.width,
        "h": target.height,
        "c": 1 if target.mode == "L" else 3,
        "chw": target.is_channels_first,
    }
    return document, contract.input_bytes
