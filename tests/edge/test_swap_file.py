"""How a model's file is watched: when it is looked at, and what is made of one that is just being written."""

import logging
import os
import signal
from pathlib import Path

import pytest

from bench.rolled import rolled
from edge.model import Loading, Model
from edge.swap import ModelFile
from tests.edge.watched import DATA, NEW, OLD, look, name, put, watched
from tests.system.processes import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model that is served."""
    path = tmp_path / "model.onnx"
    path.write_bytes(DATA)
    return path


def test_a_file_that_is_being_written_is_left_alone_until_it_is_whole(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "edge")
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
    caplog.set_level(logging.WARNING, "edge")
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

    def slowly(file: ModelFile, loading: Loading) -> Model:
        model = load(file, loading)
        loaded.append(model.sha256)
        if len(loaded) == 1:
            put(path, other)
        return model

    monkeypatch.setattr(ModelFile, "load", slowly)
    put(path, NEW)
    assert look(watch) == OLD
    assert look(watch) == name(other)
    assert loaded == [name(NEW), name(other)]


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
