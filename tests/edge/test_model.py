"""The model file: what is served, and all that is refused before or after onnxruntime sees it."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import onnxfile
from edge.contract import METADATA_KEY, Contract
from edge.errors import BadModelError
from edge.images import Images
from edge.model import load_model, load_model_bytes
from tests.paths import LENET

DATA = LENET.read_bytes()
OWN = Contract.from_json(onnxfile.metadata(DATA)[METADATA_KEY])


def field(number: int, content: bytes | int) -> bytes:
    """One protobuf field; messages that are written one after the other are merged by every reader."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    head = b""
    while value > 0x7F:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def graph(number: int, content: bytes) -> bytes:
    return field(7, field(number, content))


def test_it_is_right_about_real_images(samples: Images) -> None:
    model = load_model(LENET)
    probabilities = model.infer(samples.image.reshape(-1, 28, 28, 1))
    assert probabilities.shape == (200, 10)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert samples.label is not None
    assert (probabilities.argmax(axis=1) == samples.label).mean() >= 0.85
    assert samples.label_names == model.contract.labels


def test_the_hash_is_that_of_the_file() -> None:
    assert load_model(LENET).sha256 == hashlib.sha256(DATA).hexdigest()[:12]


def test_a_batch_gives_what_single_images_give(samples: Images) -> None:
    model = load_model(LENET)
    images = samples.image[:7].reshape(-1, 28, 28, 1)
    singly = np.concatenate([model.infer(images[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(model.infer(images), singly, atol=1e-6)


EVIL_TENSOR = field(5, field(13, field(1, b"location") + field(2, b"/etc/passwd")))
BAD = {
    "empty": (b"", "no graph"),
    "text": (b"this is not a model at all, only text", "not an ONNX model"),
    "truncated": (DATA[: len(DATA) // 2], "truncated"),
    "last byte missing": (DATA[:-1], "truncated"),
    "external data": (DATA + field(7, EVIL_TENSOR), "weights in another file"),
    "external location only": (DATA + field(7, field(5, field(14, 1))), "weights in another file"),
    "external data in an attribute": (
        DATA + graph(1, field(5, field(5, field(13, field(1, b"location"))))),
        "weights in another file",
    ),
    "external data in a sparse tensor": (DATA + graph(15, field(1, field(14, 1))), "weights in another file"),
    "external data in a subgraph": (DATA + graph(1, field(5, field(6, EVIL_TENSOR))), "weights in another file"),
    "external data in a function": (
        DATA + field(25, field(7, field(5, field(5, field(14, 1))))),
        "weights in another file",
    ),
    "foreign operator": (DATA + graph(1, field(7, b"com.microsoft")), "'com.microsoft'"),
    "foreign operator in a function": (DATA + field(25, field(7, field(7, b"evil"))), "'evil'"),
    "metadata twice": (DATA + field(14, field(1, METADATA_KEY.encode()) + field(2, b"{}")), "twice"),
    "no contract": (field(7, field(2, b"main")), "carries no contract"),
    "bad contract": (field(7, b"") + field(14, field(1, METADATA_KEY.encode()) + field(2, b"{")), "not JSON"),
    "no such operator": (DATA + graph(1, field(2, b"x") + field(4, b"NoSuchOp")), "onnxruntime cannot load"),
    "a name that is not UTF-8": (DATA + graph(1, field(7, b"\xff")), "not UTF-8"),
    "a number for a graph": (DATA + field(7, 1), "number stands where a message belongs"),
    "an endless number": (DATA + b"\x80" * 20, "not an ONNX model"),
    "wire type 7": (DATA + b"\x07", "not an ONNX model"),
    "nested without end": (DATA, "deeper than 32"),
}


def nested(levels: int) -> bytes:
    message = b""
    for _ in range(levels):
        message = field(1, field(5, field(6, message)))
    return field(7, message)


BAD["nested without end"] = (DATA + nested(40), "deeper than 32")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name: str, tmp_path: Path) -> None:
    data, reason = BAD[name]
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(BadModelError) as raised:
        load_model(path)
    assert raised.value.message.startswith(str(path))
    assert reason in raised.value.message
    assert raised.value.exit_code == 78


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "input name": ({"input_name": "x"}, "input is 'x'"),
    "dtype": ({"dtype": "float32", "golden": ()}, "input is of float32"),
    "shape": ({"shape": (28, 27, 1), "golden": ()}, "shape [28, 27, 1]"),
    "rank": ({"shape": (28, 28), "golden": ()}, "shape [28, 28]"),
    "output name": ({"output_name": "y"}, "output is 'y'"),
    "labels": ({"labels": ("a", "b"), "golden": ()}, "2 labels need"),
    "golden": (
        {"golden": tuple(dataclasses.replace(g, probabilities=g.probabilities[::-1]) for g in OWN.golden)},
        "golden inputs",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contract_that_contradicts_its_model_is_refused(name: str, tmp_path: Path) -> None:
    changes, reason = CONTRADICTIONS[name]
    contract = tmp_path / "contract.json"
    contract.write_text(dataclasses.replace(OWN, **changes).to_json())
    with pytest.raises(BadModelError) as raised:
        load_model(LENET, contract)
    assert reason in raised.value.message


def test_a_contract_file_serves_a_model_that_carries_none(tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text(json.dumps({**json.loads(OWN.to_json()), "name": "theirs"}))
    assert load_model(LENET, contract).contract.name == "theirs"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModelError, match=r"no model file .*none\.onnx"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(BadModelError, match=r"no contract file .*none\.json"):
        load_model(LENET, tmp_path / "none.json")
    with pytest.raises(BadModelError, match="no regular file"):
        load_model(tmp_path)


def test_a_huge_file_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxfile, "MAX_MODEL_BYTES", 1000)
    with pytest.raises(BadModelError, match="1,001 bytes; at most 1,000"):
        load_model(LENET)


@given(st.binary(max_size=300), st.integers(0, len(DATA)), st.booleans())
def test_a_damaged_file_is_walked_or_refused(noise: bytes, place: int, is_cut: bool) -> None:
    damaged = DATA[:place] + noise + (b"" if is_cut else DATA[place + len(noise) :])
    try:
        onnxfile.metadata(damaged)
    except BadModelError:
        return


def test_bytes_are_served_like_a_file() -> None:
    assert load_model_bytes(DATA, "memory").sha256 == load_model(LENET).sha256
