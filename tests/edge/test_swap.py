"""A model is replaced while it serves: what takes over, what is refused, and what each answer says of its maker."""

import gc
import hashlib
import logging
import os
import signal
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.rolled import rolled
from bench.scaling import colour
from edge import swap
from edge.codec import decode_prediction
from edge.hooks import Hooks, Served
from edge.images import Images
from edge.memory_client import MemoryClient
from edge.model import Model, load_model, load_model_bytes
from edge.onnxfile import MAX_MODEL_BYTES, check
from edge.swap import ModelFile, ModelWatch
from tests.edge.loop import answer
from tests.paths import LENET
from tests.system.processes import wait_until

DATA = LENET.read_bytes()
OLD = load_model(LENET).sha256
NEW = rolled(DATA, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model that is served."""
    path = tmp_path / "model.onnx"
    path.write_bytes(DATA)
    return path


def put(path: Path, data: bytes) -> None:
    """Replace a file by atomic rename."""
    other = path.with_name("new")
    other.write_bytes(data)
    other.replace(path)


def watched(
    path: Path, interval_s: float = 3600.0, contract: Path | None = None, sha256: str | None = None
) -> ModelWatch:
    file = ModelFile(path, contract, sha256)
    return ModelWatch(Served(file.load()), file, interval_s)


def look(watch: ModelWatch, times: int = 2) -> str:
    """Look so often, and say who serves then."""
    for _ in range(times):
        watch.look()
    return watch.model().model.sha256


def name(data: bytes) -> str:
    return load_model_bytes(data, "new").sha256


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
    monkeypatch.setattr(ModelFile, "load", lambda _: pytest.fail("it was loaded again"))
    put(path, DATA)
    look(watch)
    path.touch()
    look(watch)
    assert watch.model() is served
    assert caplog.messages == []


def coloured(folder: Path) -> bytes:
    colour.write_model(folder / "colour.onnx", 28)
    return (folder / "colour.onnx").read_bytes()


def truncate(path: Path) -> None:
    put(path, NEW[:-1])


def make_wrong(path: Path) -> None:
    put(path, rolled(DATA, 1, has_right_golden=False))


def make_colour(path: Path) -> None:
    put(path, coloured(path.parent))


def make_huge(path: Path) -> None:
    other = path.with_name("huge")
    with other.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)
    other.replace(path)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: put(path, b""), "the file is not an ONNX model"),
    "truncated": (truncate, "it is truncated"),
    "other answers than at export": (make_wrong, "answers its golden inputs otherwise than at export"),
    "other images": (make_colour, "it takes images of shape [3, 28, 28] of uint8, requests have [28, 28, 1] of uint8"),
    "huge": (make_huge, "at most 268,435,456 are accepted"),
    "gone": (Path.unlink, "there is no model file"),
    "a pipe": (make_pipe, "is no regular file"),
    "a folder": (make_folder, "is no regular file"),
    "a link in a circle": (make_circle, "model file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_start_is_refused_once_and_the_old_model_goes_on(
    case: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spoil, reason = REFUSED[case]
    watch = watched(path)
    look(watch)
    spoil(path)
    assert look(watch, 6) == OLD
    (line,) = caplog.messages
    assert line.startswith(f"the new model is refused, lenet {OLD} goes on: ")
    assert reason in line
    if path.is_dir():
        path.rmdir()
    put(path, NEW)
    assert look(watch) == name(NEW)


def test_a_refused_file_that_is_written_again_is_no_news_but_after_another_it_is(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = watched(path)
    for _ in range(2):
        truncate(path)
        look(watch)
    assert len(caplog.messages) == 1
    put(path, DATA)
    look(watch)
    assert caplog.messages[1:] == ["the model file is the one that is served"]
    truncate(path)
    look(watch)
    assert len(caplog.messages) == 3


def test_another_file_than_the_pinned_one_is_refused(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = watched(path, sha256=hashlib.sha256(DATA).hexdigest())
    put(path, NEW)
    assert look(watch) == OLD
    assert f"--model-sha256 asks for {OLD}" in caplog.text


def test_a_file_that_is_being_written_is_left_alone_until_it_is_whole(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watched(path)
    look(watch)
    with path.open("r+b", buffering=0) as file:
        file.truncate(0)
        for start in range(0, len(NEW), 50_000):
            file.write(NEW[start : start + 50_000])
            assert look(watch, 1) == OLD
    assert look(watch, 1) == name(NEW)
    assert caplog.messages == []


def test_a_file_whose_writing_stalls_is_refused_and_judged_again_when_it_goes_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watched(path)
    with path.open("r+b", buffering=0) as file:
        file.truncate(0)
        file.write(NEW[:100_000])
        assert look(watch, 4) == OLD
        file.write(NEW[100_000:])
    assert look(watch) == name(NEW)
    assert len(caplog.messages) == 1


def test_what_changes_while_it_is_loaded_is_not_served(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, other = watched(path), rolled(DATA, 2)
    load, loaded = ModelFile.load, []

    def slowly(file: ModelFile) -> Model:
        model = load(file)
        loaded.append(model.sha256)
        if len(loaded) == 1:
            put(path, other)
        return model

    monkeypatch.setattr(ModelFile, "load", slowly)
    put(path, NEW)
    assert look(watch) == OLD
    assert look(watch) == name(other)
    assert loaded == [name(NEW), name(other)]


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


def test_no_memory_for_a_second_model_is_a_refusal_and_tried_again_when_asked(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Model:
        raise MemoryError

    watch = watched(path)
    put(path, NEW)
    with monkeypatch.context() as patch:
        patch.setattr(swap, "load_model", fail)
        assert look(watch, 4) == OLD
    assert "there is not enough memory for it" in caplog.messages[0]
    assert look(watch, 4) == OLD
    watch.look(is_asked=True)
    assert watch.model().model.sha256 == name(NEW)
    assert len(caplog.messages) == 1


def test_a_signal_makes_it_look_at_once(path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    watch = watched(path)
    watch.start()
    try:
        put(path, NEW)
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: watch.model().model.sha256 == name(NEW), "the new model")
    finally:
        watch.close()
        signal.signal(signal.SIGHUP, before)


def test_it_looks_by_itself_until_it_is_closed(path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    watch = watched(path, interval_s=0.01)
    watch.start()
    try:
        for data in (NEW, DATA):
            put(path, data)
            wait_until(lambda data=data: watch.model().model.sha256 == name(data), "the new model")  # type: ignore[misc]
    finally:
        watch.close()
        signal.signal(signal.SIGHUP, before)
    put(path, NEW)
    assert watch.model().model.sha256 == OLD


def test_what_ends_the_watching_is_raised_where_the_loop_asks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGHUP)

    def broken(_: ModelFile) -> object:
        raise RuntimeError("a bug")

    watch = watched(path, interval_s=0.01)
    monkeypatch.setattr(ModelFile, "stamp", broken)
    watch.start()
    try:
        watch._thread.join(10)
        with pytest.raises(RuntimeError, match="a bug"):
            watch.model()
    finally:
        watch.close()
        signal.signal(signal.SIGHUP, before)


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
