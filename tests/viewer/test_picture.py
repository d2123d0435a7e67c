"""Images of every shape that a contract may have become something to look at."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from edge.contract import Contract
from tests.viewer.records import request
from viewer.picture import MAX_SIDE, picture
from viewer.target import told


@pytest.mark.parametrize(
    ("shape", "layout", "shown"),
    [
        ((28, 28), "", (28, 28, 1)),
        ((28, 28, 1), "HWC", (28, 28, 1)),
        ((1, 28, 30), "CHW", (30, 28, 1)),
        ((32, 30, 3), "HWC", (30, 32, 3)),
        ((3, 32, 30), "CHW", (30, 32, 3)),
        ((12, 9, 4), "HWC", (9, 12, 1)),
        ((7,), "", (7, 1, 1)),
        ((2, 8, 9, 3), "", (9, 8, 3)),
        ((224, 256, 3), "HWC", (128, 112, 3)),
        ((5000, 1, 1), "HWC", (1, 125, 1)),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_each_shape_becomes_a_small_picture(
    shape: tuple[int, ...], layout: str, shown: tuple[int, int, int], dtype: str
) -> None:
    contract = Contract("m", "in", dtype, shape, layout, "out", ("a", "b"))
    found = picture(request(0, "one", bytes(contract.input_bytes)), contract)
    assert found is not None
    assert (found["w"], found["h"], found["c"]) == shown
    assert len(base64.b64decode(found["data"])) == np.prod(shown)
    assert max(found["w"], found["h"]) <= MAX_SIDE


def test_pixels_are_the_requests_own_whatever_way_they_were_written(contract: Contract) -> None:
    pixels = np.arange(784, dtype=np.uint8).reshape(28, 28)
    written = [
        request(0, "raw", pixels.tobytes()),
        request(1, "json", str(pixels.tolist()).encode(), [("content-type", b"application/json")]),
    ]
    assert [base64.b64decode((picture(each, contract) or {})["data"]) for each in written] == [pixels.tobytes()] * 2


def test_channels_first_are_turned_so_that_colours_stay_together() -> None:
    contract = Contract("m", "in", "uint8", (3, 2, 2), "CHW", "out", ("a", "b"))
    planes = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]], np.uint8)
    found = picture(request(0, "one", planes.tobytes()), contract)
    assert found is not None
    assert list(base64.b64decode(found["data"])) == [1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12]


def test_floats_are_stretched_over_all_shades() -> None:
    contract = Contract("m", "in", "float32", (1, 3), "", "out", ("a", "b"))
    found = picture(request(0, "one", np.array([-2, 0, 2], "<f4").tobytes()), contract)
    assert found is not None
    assert list(base64.b64decode(found["data"])) == [0, 128, 255]


@pytest.mark.parametrize("value", [b"", b"x", bytes(785)])
def test_what_is_no_image_of_the_contract_has_no_picture(contract: Contract, value: bytes) -> None:
    assert picture(request(0, "one", value), contract) is None


def test_a_page_may_draw_what_is_made_of_bytes_and_grey_or_colour(contract: Contract) -> None:
    document, size = told(contract)
    assert (document["draw"], size) == ({"w": 28, "h": 28, "c": 1, "chw": False}, 784)
    planes = replace(contract, shape=(3, 8, 9), layout="CHW")
    assert told(planes)[0]["draw"] == {"w": 9, "h": 8, "c": 3, "chw": True}
    for other in (
        replace(contract, dtype="float32"),
        replace(contract, shape=(7,)),
        replace(contract, shape=(4, 4, 4)),
    ):
        document, size = told(other)
        assert (document["draw"], size) == (None, None)
