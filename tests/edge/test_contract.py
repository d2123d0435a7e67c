"""The contract: what is written is read back, and whatever contradicts itself is refused by name."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from edge.contract import Contract, Golden, Reference
from edge.errors import BadModelError

CONTRACT = Contract(
    name="lenet",
    input_name="image",
    dtype="uint8",
    shape=(2, 2, 1),
    layout="HWC",
    output_name="probabilities",
    labels=("no", "yes"),
    version="1",
    run="20260101-000000-lenet",
    dataset="fashion_mnist",
    test_accuracy=0.9,
    created="2026-01-01T00:00:00+00:00",
    golden=(Golden(np.array([[[1], [2]], [[3], [4]]], np.uint8), np.array([0.25, 0.75], np.float32)),),
    reference=Reference((1 / 3, 2 / 3), 0.1 + 0.2),
)


def document() -> dict[str, Any]:
    return dict(json.loads(CONTRACT.to_json()))


def test_a_contract_is_read_back_as_it_was() -> None:
    read = Contract.from_json(CONTRACT.to_json())
    assert dataclasses.replace(read, golden=()) == dataclasses.replace(CONTRACT, golden=())
    np.testing.assert_array_equal(read.golden[0].image, CONTRACT.golden[0].image)
    np.testing.assert_array_equal(read.golden[0].probabilities, CONTRACT.golden[0].probabilities)
    assert read.input_bytes == 4


def test_a_contract_from_before_there_were_references_is_read_and_written_as_it_was() -> None:
    older = dataclasses.replace(CONTRACT, reference=None)
    assert "reference" not in json.loads(older.to_json())
    assert Contract.from_json(older.to_json()).reference is None
    assert Contract.from_json(older.to_json()).to_json() == older.to_json()


def test_a_foreign_contract_needs_only_input_output_labels_and_name() -> None:
    minimal = {
        "name": "theirs",
        "input": {"name": "x", "dtype": "float32", "shape": [3, 8, 8]},
        "output": {"name": "y"},
        "labels": ["a", "b"],
    }
    contract = Contract.from_json(json.dumps(minimal))
    assert contract == Contract("theirs", "x", "float32", (3, 8, 8), "", "y", ("a", "b"))
    assert contract.input_bytes == 3 * 8 * 8 * 4


BAD: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "newer format": (("format",), 2, "format 2"),
    "no name": (("name",), None, "no 'name'"),
    "empty name": (("name",), "", "'name' is empty"),
    "name a number": (("name",), 7, "'name' must be of JSON type string"),
    "no input": (("input",), None, "no 'input'"),
    "unknown dtype": (("input", "dtype"), "int64", "input.dtype is 'int64'"),
    "shape of zero": (("input", "shape"), [0], "positive integers"),
    "shape of floats": (("input", "shape"), [2.0, 2], "positive integers"),
    "shape of booleans": (("input", "shape"), [True, 2], "positive integers"),
    "shape too large": (("input", "shape"), [2**20, 2**20], "may have"),
    "shape too deep": (("input", "shape"), [1] * 5, "up to 4"),
    "unknown layout": (("input", "layout"), "WHC", "input.layout"),
    "unknown precision": (("precision",), "fp16", "it must be float32, int8, float16 or absent"),
    "no output": (("output",), None, "no 'output'"),
    "no labels": (("labels",), [], "'labels' is empty"),
    "labels of numbers": (("labels",), [1, 2], "labels must be strings"),
    "labels of half a character": (("labels",), ["a", "\ud800"], "half a character"),
    "labels repeated": (("labels",), ["a", "a"], "must differ"),
    "accuracy above 1": (("test_accuracy",), 90, "test_accuracy is 90"),
    "accuracy a text": (("test_accuracy",), "0.9", "test_accuracy is '0.9'"),
    "reference no object": (("reference",), [1], "'reference' must be of JSON type object"),
    "reference without mix": (("reference", "class_mix"), None, "no 'class_mix'"),
    "reference of too few": (("reference", "class_mix"), [1.0], "must be 2 numbers"),
    "reference of texts": (("reference", "class_mix"), ["1", "0"], "must be 2 numbers"),
    "reference below 0": (("reference", "class_mix"), [-1, 2], "must be 2 numbers"),
    "reference not whole": (("reference", "class_mix"), [0.5, 0.4], "that sum to 1"),
    "reference without confidence": (("reference", "confidence"), None, "reference.confidence is None"),
    "reference too confident": (("reference", "confidence"), 1.5, "reference.confidence is 1.5"),
    "golden no object": (("golden",), [1], "JSON object"),
    "golden of too few": (("golden",), [{"image": "AQIDBA==", "probabilities": [1.0]}], "2 probabilities"),
    "golden no base64": (("golden",), [{"image": "?", "probabilities": [0, 1]}], "base64"),
    "golden of another size": (("golden",), [{"image": "AQ==", "probabilities": [0, 1]}], "has 1 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_contract_is_refused_by_the_field(name: str) -> None:
    path, value, reason = BAD[name]
    bad = document()
    place = bad
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(BadModelError) as raised:
        Contract.from_json(json.dumps(bad))
    assert reason in raised.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadModelError, match=r"JSON|nests deeper"):
        Contract.from_json(text)
