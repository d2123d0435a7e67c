"""Properties of every decoder: any bytes give a value or the documented error, and what was written is read back."""

import dataclasses
import gzip
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge import jsontext, npy
from edge.codec import Prediction, decode_prediction, decode_request, stacked
from edge.contract import Contract, Golden
from edge.errors import BadDataError, BadModelError, BadRequestError
from edge.images import load_images
from edge.records import Partition, Record
from tests.edge.predictions import dumped
from tests.mutations import SHORT, damaged, mutated_json

SMALL = Contract("small", "image", "uint8", (4, 3, 1), "HWC", "probabilities", ("a", "b"))
FLOATS = dataclasses.replace(SMALL, dtype="float32", shape=(2, 3))
PIXELS = np.arange(12, dtype=np.uint8).reshape(4, 3, 1)
PREDICTION = Prediction("r1", 9, "Ankle boot", 0.993, "lenet", "0123456789ab", 0.8, 0.1, 1)
GOLDEN = (Golden(PIXELS, np.array([0.25, 0.75], np.float32)),)
OCTETS, NPY, JSON = "application/octet-stream", "application/x-npy", "application/json"


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def record(value: bytes, content_type: str = OCTETS) -> Record:
    return Record(Partition("requests", 3), 17, 0, None, value, [("content-type", content_type.encode())])


IMAGE, LABEL, NAMES = saved(PIXELS.reshape(2, 2, 3)), saved(np.array([1, 0])), saved(np.array(["a", "bc"]))
NPZ = zipped(image=IMAGE, label=LABEL, label_names=NAMES)
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + PIXELS.tobytes()
PREDICTED = dumped(PREDICTION)
CONTRACT = dataclasses.replace(SMALL, golden=GOLDEN).to_json().encode()
PIXELS_JSON = json.dumps(PIXELS.tolist()).encode()
npz_of_damaged = st.builds(zipped, image=damaged(IMAGE), label=damaged(LABEL), label_names=damaged(NAMES))


def any_of(good: bytes) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=200) | damaged(good)


@SHORT
@given(any_of(PIXELS.tobytes()) | any_of(IMAGE) | any_of(PIXELS_JSON) | mutated_json(PIXELS_JSON))
def test_any_bytes_are_a_request_or_refused(value: bytes) -> None:
    for contract in (SMALL, FLOATS):
        for content_type in (OCTETS, NPY, JSON):
            try:
                request = decode_request(record(value, content_type), contract)
            except BadRequestError as error:
                error.message.encode()
                continue
            images = stacked([request], contract)
            assert images.shape == (1, *contract.shape)
            assert images.dtype == np.dtype(contract.dtype)


@SHORT
@given(any_of(PREDICTED) | mutated_json(PREDICTED))
def test_any_bytes_are_a_prediction_or_refused(value: bytes) -> None:
    try:
        prediction = decode_prediction(record(value))
    except BadDataError as error:
        error.message.encode()
        return
    assert dumped(prediction)


@SHORT
@given(any_of(CONTRACT) | mutated_json(CONTRACT))
def test_any_bytes_are_a_contract_or_refused(value: bytes) -> None:
    try:
        contract = Contract.from_json(value)
    except BadModelError as error:
        error.message.encode()
        return
    assert Contract.from_json(contract.to_json()).to_json() == contract.to_json()


@SHORT
@given(any_of(IMAGE) | any_of(NAMES))
def test_any_bytes_are_an_array_or_refused(value: bytes) -> None:
    try:
        array = npy.load(value)
    except BadDataError:
        return
    assert array.nbytes <= len(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@SHORT
@given(any_of(NPZ) | npz_of_damaged, any_of(IDX), any_of(gzip.compress(IDX)) | damaged(IDX).map(gzip.compress))
def test_any_file_holds_images_or_is_refused(folder: Path, npz: bytes, idx: bytes, packed: bytes) -> None:
    for name, content in [("a.npz", npz), ("a.idx", idx), ("a.gz", packed)]:
        path = folder / name
        path.write_bytes(content)
        try:
            images = load_images(path)
        except BadDataError as error:
            error.message.encode()
            continue
        assert images.image.dtype == np.uint8
        (images.true_label(0) or "").encode()


@SHORT
@given(st.data())
def test_an_image_is_read_back_from_every_encoding(data: st.DataObject) -> None:
    contract = data.draw(st.sampled_from([SMALL, FLOATS]))
    elements = {"allow_nan": False, "allow_infinity": False} if contract.dtype == "float32" else {}
    image = data.draw(arrays.arrays(contract.dtype, contract.shape, elements=elements))
    lists = json.dumps(image.astype(float).tolist() if contract is FLOATS else image.tolist())
    for value, content_type in [(image.tobytes(), OCTETS), (saved(image), NPY), (lists.encode(), JSON)]:
        request = decode_request(record(value, content_type), contract)
        np.testing.assert_array_equal(stacked([request], contract)[0], image)


@SHORT
@given(arrays.arrays(st.one_of(arrays.scalar_dtypes()), arrays.array_shapes(min_side=0)), st.booleans())
def test_npy_is_read_back_as_numpy_wrote_it(array: np.ndarray, is_fortran: bool) -> None:
    array = np.asfortranarray(array) if is_fortran else array
    if array.dtype.kind not in npy.KINDS:
        return
    np.testing.assert_array_equal(npy.load(saved(array)), array)


TEXT = st.text(max_size=50)
NUMBER = st.floats(0, 1e9).map(lambda number: round(number, 3))


@SHORT
@given(
    st.builds(Prediction, TEXT, st.integers(0, 99_999), TEXT, NUMBER, TEXT, TEXT, NUMBER, NUMBER, st.integers(1, 4096))
)
def test_a_prediction_is_read_back(prediction: Prediction) -> None:
    assert decode_prediction(record(dumped(prediction))) == prediction


@SHORT
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=3)), st.integers(0, 9))
def test_images_are_read_back_from_npz_and_idx(folder: Path, image: np.ndarray, label: int) -> None:
    labels = np.full(len(image), label)
    np.savez_compressed(folder / "b.npz", image=image, label=labels)
    sizes = b"".join(size.to_bytes(4, "big") for size in image.shape)
    (folder / "b.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + sizes + image.tobytes()))
    for name in ("b.npz", "b.gz"):
        np.testing.assert_array_equal(load_images(folder / name).image, image)
    assert load_images(folder / "b.npz").true_label(0) == str(label)


LIMITS = jsontext.Limits(bytes=4000, depth=4, values=50)


def depth(value: object) -> int:
    children = value if isinstance(value, list) else value.values() if isinstance(value, dict) else None
    return 0 if children is None else 1 + max(map(depth, children), default=0)


@SHORT
@given(mutated_json(b'[[1, "[{", {"a": "\\\\\\"]"}], 2, "x"]'))
def test_json_is_read_as_the_standard_library_does_within_its_limits(text: bytes) -> None:
    try:
        document = jsontext.parse(text, LIMITS)
    except ValueError:
        return
    assert document == json.loads(text)
    assert depth(document) <= LIMITS.depth


BOMBS: dict[str, Callable[[], Any]] = {
    "brackets": lambda: jsontext.parse(b"[" * 2**24, jsontext.Limits(2**25, 8, 2**25)),
    "brackets that only close": lambda: jsontext.parse(b"]" * 2**24, jsontext.Limits(2**25, 8, 2**25)),
    "closed brackets": lambda: jsontext.parse(b"[]" * 2**22, jsontext.Limits(2**25, 8, 2**20)),
    "an endless text": lambda: jsontext.parse(b'"' + b"\\\\" * 2**22, jsontext.Limits(2**25, 8, 2**20)),
    "texts": lambda: jsontext.parse(b'""' * 2**24, jsontext.Limits(2**25, 8, 2**20)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_large_json_is_refused_soon(name: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=r"^it "):
        BOMBS[name]()
    assert time.process_time() - started < 2
