"""What does not take over from a model that serves: what would not start, or could not answer its requests."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.rolled import rolled
from bench.scaling import colour
from edge import swap
from edge.model import Model
from edge.onnxfile import MAX_MODEL_BYTES
from tests.edge.watched import DATA, NEW, OLD, look, name, put, watched


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model that is served."""
    path = tmp_path / "model.onnx"
    path.write_bytes(DATA)
    return path


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


def test_no_memory_for_a_second_model_is_a_refusal_and_tried_again_when_asked(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "edge")

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
