"""Requests to pictures: every shape that a contract may have, every encoding, and what is no picture."""

import dataclasses
import io
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edge.contract import Contract
from edge.errors import BadDataError
from edge.raster import picture_of, visible
from edge.records import Headers, Partition, Record

NPY, JSON = [("content-type", b"application/x-npy")], [("content-type", b"application/json")]
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 6), np.uint8)
COLOUR = RNG.integers(0, 256, (4, 6, 3), np.uint8)


def record(value: bytes | None, headers: Headers = ()) -> Record:
    return Record(Partition("requests", 0), 17, 0, None, value, headers)


def npy(array: npt.NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def as_rgb(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.stack([grey] * 3, axis=2)


@pytest.mark.parametrize(
    ("pixels", "layout", "expected"),
    [
        (GREY, "", as_rgb(GREY)),
        (GREY[..., None], "HWC", as_rgb(GREY)),
        (GREY[None], "CHW", as_rgb(GREY)),
        (GREY[None], "", as_rgb(GREY)),
        (GREY[None, ..., None], "HWC", as_rgb(GREY)),
        (GREY[:, :4].reshape(-1), "", as_rgb(GREY[:, :4])),
        (COLOUR, "HWC", COLOUR),
        (COLOUR, "", COLOUR),
        (COLOUR.transpose(2, 0, 1), "CHW", COLOUR),
        (COLOUR.transpose(2, 0, 1), "", COLOUR),
        (COLOUR[None], "HWC", COLOUR),
        (np.concatenate([COLOUR, GREY[..., None]], axis=2), "HWC", COLOUR),
        (np.stack([GREY, GREY // 2], axis=2), "HWC", as_rgb(GREY)),
    ],
)
def test_every_shape_and_layout_gives_the_same_picture(
    pixels: npt.NDArray[np.uint8], layout: str, expected: npt.NDArray[np.uint8]
) -> None:
    np.testing.assert_array_equal(visible(pixels, layout, 32, 64), expected)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_what_has_no_height_and_width_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadDataError, match="no picture"):
        visible(np.zeros(shape, np.uint8), "", 32, 64)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-1.0, 0.0, 3.0], [0, 64, 255]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
        ([-2.0, -2.0, -2.0], [0, 0, 0]),
    ],
)
def test_floats_are_stretched_to_what_can_be_seen(values: list[float], expected: list[int]) -> None:
    (row,) = visible(np.array([values], np.float32), "", 32, 64)
    assert row[:, 0].tolist() == expected


def test_a_large_picture_is_shrunk_by_means_and_keeps_its_sides_ratio() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 6)
    # Rows 0 and 1, columns 0 to 2 and 3 to 5.
    np.testing.assert_array_equal(visible(pixels, "", 2, 2)[..., 0], [[4, 7]])
    assert visible(np.zeros((224, 224, 3), np.uint8), "HWC", 32, 64).shape == (32, 32, 3)
    assert visible(np.zeros((100, 333), np.uint8), "", 32, 64).shape == (19, 64, 3)
    assert visible(np.zeros((1, 5000), np.uint8), "", 32, 64).shape == (1, 64, 3)
    assert visible(GREY, "", 32, 64).shape == (4, 6, 3)


@pytest.mark.parametrize(("height", "width"), [(7, 5), (3, 11), (13, 2)])
def test_every_pixel_counts_once_when_sizes_do_not_divide(height: int, width: int) -> None:
    pixels = np.full((13, 11), 200, np.uint8)
    assert set(visible(pixels, "", height, width).reshape(-1).tolist()) == {200}


def test_all_encodings_of_a_request_give_its_picture() -> None:
    contract = Contract("m", "image", "uint8", (4, 6, 1), "HWC", "p", ("a",))
    for value, headers in [
        (GREY.tobytes(), []),
        (npy(GREY), NPY),
        (json.dumps(GREY.tolist()).encode(), JSON),
    ]:
        np.testing.assert_array_equal(picture_of(record(value, headers), contract, 32, 64), as_rgb(GREY))
    floats = dataclasses.replace(contract, dtype="float32")
    request = record((GREY / np.float32(255)).astype("<f4").tobytes())
    np.testing.assert_array_equal(picture_of(request, floats, 32, 64), as_rgb(GREY))


def test_without_a_contract_arrays_have_their_shape_and_bytes_are_squares() -> None:
    square = RNG.integers(0, 256, (5, 5, 3), np.uint8)
    np.testing.assert_array_equal(picture_of(record(square.tobytes()), None, 32, 64), square)
    np.testing.assert_array_equal(picture_of(record(square[..., 0].tobytes()), None, 32, 64), as_rgb(square[..., 0]))
    np.testing.assert_array_equal(picture_of(record(npy(COLOUR), NPY), None, 32, 64), COLOUR)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (None, []),
        (b"", []),
        (bytes(24), []),
        (b"[[1]]", JSON),
        (bytes(4), [("content-type", b"image/png")]),
        (b"noise", NPY),
        (npy(np.zeros((4, 6))), NPY),
        (npy(np.zeros((0, 6), np.uint8)), NPY),
        (npy(np.zeros((1,) * 6, np.uint8)), NPY),
        (npy(np.array(["a"])), NPY),
        (npy(GREY)[:-1], NPY),
        (npy(np.full((2, 2), np.nan, np.float32)), NPY),
        (b"\x93NUMPY\1\0v\0{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999, 99999999), }", NPY),
    ],
)
def test_what_tells_no_shape_or_lies_is_no_picture(value: bytes | None, headers: Headers) -> None:
    with pytest.raises(BadDataError):
        picture_of(record(value, headers), None, 32, 64)


@given(
    st.binary(max_size=400) | st.integers(1, 20).map(lambda side: bytes(3 * side * side)),
    st.sampled_from([[], NPY, JSON, [("content-type", b"\xff")]]),
    st.booleans(),
)
def test_any_bytes_give_a_picture_that_fits_or_the_documented_error(
    value: bytes, headers: Headers, with_contract: bool
) -> None:
    contract = Contract("m", "image", "float32", (3, 4, 5), "CHW", "p", ("a",)) if with_contract else None
    try:
        picture = picture_of(record(value, headers), contract, 6, 7)
    except BadDataError:
        return
    assert picture.dtype == np.uint8
    assert 0 < picture.shape[0] <= 6
    assert 0 < picture.shape[1] <= 7
    assert picture.shape[2] == 3


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, max_side=9)))
def test_any_array_is_drawn_by_its_shape_or_is_no_picture(array: npt.NDArray[np.uint8]) -> None:
    try:
        picture = picture_of(record(npy(array), NPY), None, 4, 4)
    except BadDataError:
        assert array.ndim in (1, 4)
        return
    assert picture.min() >= array.min()
    assert picture.max() <= array.max()
