"""A batch through a real model that fails on one image: the others have their answers."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge import inference
from edge.errors import EdgeError
from edge.model import Model, load_model_bytes
from tests.edge.test_model import NAMED, value
from tests.protobuf import field

KNOWN = 200


@pytest.fixture
def model() -> Model:
    """y = table[x], which has KNOWN rows: onnxruntime refuses to look beyond it."""
    to_int64 = field(5, field(1, b"to") + field(3, 7) + field(20, 2))
    cast = field(1, field(1, b"x") + field(2, b"row") + field(4, b"Cast") + to_int64)
    gather = field(1, field(1, b"table") + field(1, b"row") + field(2, b"y") + field(4, b"Gather"))
    rows = np.arange(KNOWN, dtype="<f4").tobytes()
    table = field(5, field(1, KNOWN) + field(2, 1) + field(8, b"table") + field(9, rows))
    shape = field(2, b"N"), field(1, 1)
    graph = (
        cast + gather + field(2, b"g") + table + field(11, value(b"x", 1, *shape)) + field(12, value(b"y", 1, *shape))
    )
    contract = field(14, field(1, b"contract") + field(2, json.dumps({**NAMED, "labels": ["a"]}).encode()))
    return load_model_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 17)) + contract, "table")


def images(*pixels: float) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.array(pixels, np.float32)[:, np.newaxis]


def test_only_the_image_on_which_the_model_fails_has_no_answer(model: Model) -> None:
    found = inference.infer(model, images(7, 255, 199, 1000))
    assert found.probabilities[[0, 2]].tolist() == [[7], [199]]
    assert sorted(found.failures) == [1, 3]
    assert found.failures[1].message.startswith("the model fails on it (")
    assert "out of data bounds" in found.failures[1].message
    assert found.started <= found.ended


def test_a_batch_without_such_an_image_goes_through_at_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, honest = list[int](), model.infer

    def counted(batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        sizes.append(len(batch))
        return honest(batch)

    monkeypatch.setattr(model, "infer", counted)
    found = inference.infer(model, images(1, 2, 3))
    assert (found.probabilities.tolist(), dict(found.failures), sizes) == ([[1], [2], [3]], {}, [3])


def test_a_model_that_no_longer_answers_what_it_has_is_not_the_images_fault(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "infer", lambda batch: batch[:0])
    with pytest.raises(EdgeError, match=r"fails on any image.*gives \(0, 1\) for 1 images"):
        inference.infer(model, images(1))
