"""Images in a file instead of in memory: the same batches, and the same weights in the end."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.training.test_tfds import examples, prepare
from training import data, finish, runs, store, train
from training.batches import training_batches, validation_batches
from training.dataset import Dataset, Split
from training.errors import BadDataError, ConfigurationError
from training.recipes import Recipe


def assert_same(one: Dataset, other: Dataset) -> None:
    assert (one.name, one.label_names) == (other.name, other.label_names)
    for split in ("train", "test"):
        first, second = getattr(one, split), getattr(other, split)
        assert second.images.dtype == np.uint8
        np.testing.assert_array_equal(first.images, second.images)
        np.testing.assert_array_equal(first.labels, second.labels)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CHUNK", 1001)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("has_test", [True, False])
def test_npz(save: Callable[..., None], has_test: bool, bands: Dataset, tmp_path: Path) -> None:
    path, folder = tmp_path / "bands.npz", tmp_path / "runs"
    arrays = {"image": bands.train.images, "label": bands.train.labels}
    more = {"image_test": bands.test.images, "label_test": bands.test.labels} if has_test else {}
    save(path, **arrays, **more)
    streamed = data.load(str(path), seed=1, folder=folder)
    assert_same(data.load(str(path), seed=1), streamed)
    assert store.is_streamed(streamed.train.images)
    assert store.is_streamed(streamed.test.images)
    assert not list(folder.iterdir())


def test_grey_and_oddly_ordered_npz(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", image=grey, label=np.arange(20) % 2)
    np.savez(tmp_path / "b.npz", image=np.asfortranarray(grey), label=np.arange(20) % 2)
    for name in ("a", "b"):
        path = str(tmp_path / f"{name}.npz")
        assert_same(data.load(path), data.load(path, folder=tmp_path))


def test_idx(idx_folder: Path, tmp_path: Path) -> None:
    streamed = data.load(str(idx_folder), folder=tmp_path / "runs")
    assert_same(data.load(str(idx_folder)), streamed)
    assert store.is_streamed(streamed.train.images)


def test_prepared_tfds(tmp_path: Path, make_split: Callable[..., Split]) -> None:
    features = {"image": tfds.features.Image(shape=(7, 5, 3)), "label": tfds.features.ClassLabel(names=["no", "yes"])}
    splits = {"train": examples(make_split(1500, (7, 5, 3), 2, 1)), "test": examples(make_split(20, (7, 5, 3), 2, 2))}
    prepare(tmp_path, "tiny", features, splits)
    streamed = data.load("tiny", data_dir=str(tmp_path), folder=tmp_path / "runs")
    assert_same(data.load("tiny", data_dir=str(tmp_path)), streamed)
    assert store.is_streamed(streamed.train.images)


@pytest.mark.parametrize("content", ["header", "body"])
def test_damaged_npz_is_one_sentence(content: str, bands_npz: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "cut.npz", bands_npz.read_bytes()
    at = whole.index(b"NUMPY") if content == "header" else whole.index(b"NUMPY") + 5000
    path.write_bytes(whole[:at] + b"\xff" * 4 + whole[at + 4 :])
    with pytest.raises(BadDataError, match=r"cut\.npz is damaged"):
        data.load(str(path), folder=tmp_path)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", image=np.array([{}, {}], object), label=np.arange(2))
    with pytest.raises(BadDataError, match="pickled Python objects"):
        data.load(str(tmp_path / "p.npz"), folder=tmp_path)


def test_full_disk_is_one_sentence_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigurationError, match=r"cannot hold the 3 MB of images .*: No space left"):
        store.empty((1000, 50, 60), tmp_path)


@pytest.mark.usefixtures("small_chunks")
def test_without_fallocate_the_file_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    images = store.empty((7, 50, 60), tmp_path)
    assert (images.shape, int(images.max())) == ((7, 50, 60), 0)
    images[6] = 200
    assert int(images.sum()) == 200 * 50 * 60
    monkeypatch.setattr(store, "_fill", lambda file, size: os.write(os.open("/dev/full", os.O_WRONLY), bytes(1)))
    with pytest.raises(ConfigurationError, match="No space left"):
        store.empty((7, 50, 60), tmp_path)


def test_batches_are_the_same(bands: Dataset, tmp_path: Path) -> None:
    streamed = store.taken(bands.train, np.arange(len(bands.train)), tmp_path)
    indices = np.arange(0, 300, 3)
    recipe = Recipe(epochs=2, batch_size=32, shift=2, flip=True, erasing=0.5)
    pairs = [
        [training_batches(split, indices, recipe, 7) for split in (bands.train, streamed)],
        [validation_batches(split, indices) for split in (bands.train, streamed)],
    ]
    for count, (memory, file) in zip((8, 1), pairs, strict=True):
        assert memory.element_spec == file.element_spec
        batches = list(zip(memory.as_numpy_iterator(), file.as_numpy_iterator(), strict=True))
        assert len(batches) == count
        for one, other in batches:
            assert [a.tobytes() for a in one] == [b.tobytes() for b in other]
    np.testing.assert_array_equal(batches[0][1][1], bands.train.labels[indices])


def test_weights_are_the_same_and_nothing_stays_behind(trained: runs.Run, bands_npz: Path, tmp_path: Path) -> None:
    options = train.Options(data=str(bands_npz), recipe=Recipe(epochs=3, batch_size=32), stream=True)
    run = train.train_and_evaluate(options, tmp_path)
    one, other = (finish.load_model(r).get_weights() for r in (trained, run))
    assert [a.tobytes() for a in one] == [b.tobytes() for b in other]
    assert runs.read_json(run.metrics) == runs.read_json(trained.metrics)
    assert run.predictions("train").read_bytes() == trained.predictions("train").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [run.path.name]
    for source in (None, str(bands_npz)):
        evaluation = finish.evaluate_saved(run, source)
        assert store.is_streamed(evaluation.data.train.images)
        assert store.is_streamed(evaluation.data.test.images)
        np.testing.assert_array_equal(evaluation.predict(), finish.evaluate_saved(trained, source).predict())
    assert [path.name for path in tmp_path.iterdir()] == [run.path.name]


def test_predictions_that_end_early_are_one_sentence(trained: runs.Run, tmp_path: Path) -> None:
    cut = runs.Run(tmp_path)
    cut.predictions("train").parent.mkdir()
    cut.config.write_bytes(trained.config.read_bytes())
    with np.load(trained.predictions("train")) as file, zipfile.ZipFile(cut.predictions("train"), "w") as short:
        for name in ("image", "label"):
            array = io.BytesIO()
            np.save(array, file[name])
            short.writestr(f"{name}.npy", array.getvalue()[:-10])
    with pytest.raises(ConfigurationError, match=r"cannot read .*train\.npz: image ends after"):
        runs.load_dataset(cut, tmp_path)
