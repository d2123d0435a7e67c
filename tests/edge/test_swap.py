"""A model is replaced while it serves: what takes over, and what each answer says of its maker."""

import gc
import logging
import weakref
from pathlib import Path

import numpy as np
import pytest

from bench.rolled import rolled
from edge.codec import decode_prediction
from edge.hooks import Hooks, Served
from edge.images import Images
from edge.memory_client import MemoryClient
from edge.model import load_model, load_model_bytes
from edge.onnxfile import check
from edge.swap import ModelFile, ModelWatch
from tests.edge.loop import answer
from tests.edge.watched import DATA, NEW, OLD, look, name, put, watched
from tests.paths import LENET


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model that is served."""
    path = tmp_path / "model.onnx"
    path.write_bytes(DATA)
    return path


def test_a_new_model_takes_over_when_its_file_has_stayed_the_same_for_one_look(
    path: Path, samples: Images, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = watched(path)
    assert look(watch) == OLD
    put(path, NEW)
    assert look(watch, 1) == OLD
    assert look(watch, 1) == name(NEW)
    image = samples.image[:5].reshape(-1, 28, 28, 1)
    expected = np.roll(load_model(LENET).infer(image), 1, axis=1)
    np.testing.assert_allclose(watch.model().model.infer(image), expected, atol=1e-6)
    assert look(watch, 5) == name(NEW)
    assert caplog.messages == [f"now serving lenet {name(NEW)} instead of lenet {OLD} ({path})"]
    put(path, DATA)
    assert look(watch) == OLD
    assert len(caplog.messages) == 2


def test_the_old_model_is_given_up_with_the_last_batch_that_it_serves(path: Path) -> None:
    watch = watched(path)
    in_flight = watch.model()
    old = weakref.ref(in_flight.model._session)
    put(path, NEW)
    assert look(watch) == name(NEW)
    assert old() is not None
    del in_flight
    gc.collect()
    assert old() is None


def test_the_same_content_is_no_new_model(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    watch = watched(path)
    served = watch.model()
    monkeypatch.setattr(ModelFile, "load", lambda *_: pytest.fail("it was loaded again"))
    put(path, DATA)
    look(watch)
    path.touch()
    look(watch)
    assert watch.model() is served
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            tuple("abcdefghij"),
            "10 instead of 10, new ones ['a', 'b', 'c', 'd', 'e', 'f', ...], gone ones ['Ankle boot',",
        ),
        ("reversed", "the same in another order"),
    ],
)
def test_other_labels_are_served_and_told(
    labels: tuple[str, ...] | str, said: str, path: Path, samples: Images, caplog: pytest.LogCaptureFixture
) -> None:
    own = load_model(LENET).contract.labels
    new = own[::-1] if isinstance(labels, str) else labels
    watch = watched(path)
    put(path, rolled(DATA, 0, new))
    assert look(watch) != OLD
    assert caplog.messages[0].startswith(f"the new model has other labels: {said}")
    client = MemoryClient()
    client.append("in", samples.image[0].tobytes())
    answer(client, Hooks(watch.model))
    prediction = decode_prediction(client.topics["out"][0])
    assert prediction.label == new[prediction.class_index]


def test_a_contract_beside_the_model_is_watched_too(path: Path, tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    text = check(DATA).metadata["contract"]
    contract.write_text(text)
    watch = watched(path, contract=contract)
    look(watch)
    put(contract, text.replace('"name": "lenet"', '"name": "renamed"').encode())
    look(watch)
    assert watch.model().model.contract.name == "renamed"
    put(contract, b"{}")
    look(watch)
    assert watch.model().model.contract.name == "renamed"


def test_a_contract_that_was_replaced_after_it_was_read_is_noticed(path: Path, tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    text = check(DATA).metadata["contract"]
    contract.write_text(text)
    file = ModelFile(path, contract)
    served = Served(file.load())
    contract.write_text(text.replace('"name": "lenet"', '"name": "renamed"'))
    watch = ModelWatch(served, file, 0.0)
    look(watch)
    assert watch.model().model.contract.name == "renamed"


@pytest.mark.parametrize("is_exactly_once", [False, True])
def test_each_answer_names_the_model_that_made_it_also_when_every_batch_has_another(
    path: Path, samples: Images, is_exactly_once: bool
) -> None:
    client, watch = MemoryClient(), watched(path)
    files = [rolled(DATA, steps) for steps in range(1, 10)]
    makers = {model.sha256: model for model in (load_model_bytes(data, "") for data in [DATA, *files])}
    for number, image in enumerate(samples.image[:160]):
        client.append("in", image.tobytes(), None, [("request-id", str(number).encode())])

    def model() -> Served:
        served = watch.model()
        if files:
            put(path, files.pop(0))
            watch.look(is_asked=True)
        return served

    answer(client, Hooks(model), is_exactly_once)
    predictions = [decode_prediction(record) for record in client.topics["out"]]
    assert [prediction.id for prediction in predictions] == [str(number) for number in range(160)]
    assert [prediction.sha256 for prediction in predictions[::16]] == list(makers)
    images = samples.image.reshape(-1, 28, 28, 1)
    for prediction, image in zip(predictions, images, strict=False):
        (expected,) = makers[prediction.sha256].infer(image[None])
        assert prediction.class_index == expected.argmax()
        assert prediction.confidence == pytest.approx(expected.max(), abs=1e-5)
