"""`.npz` files and IDX folders: what is read, and one clear sentence for everything that cannot be."""

import gzip
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import data, idx
from training.dataset import Dataset
from training.errors import BadDataError

Encode = Callable[[npt.NDArray[np.uint8]], bytes]


def good(count: int = 20) -> dict[str, npt.NDArray[Any]]:
    images = np.arange(count * 12, dtype=np.uint64).astype(np.uint8).reshape(count, 3, 4)
    return {"image": images, "label": np.arange(count) % 4}


def saved(tmp_path: Path, **changes: npt.NDArray[Any] | None) -> Path:
    path = tmp_path / "mine.npz"
    arrays = {k: v for k, v in {**good(), **changes}.items() if v is not None}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def pairs(*splits: Any) -> list[tuple[bytes, int]]:
    return sorted((i.tobytes(), int(n)) for s in splits for i, n in zip(s.images, s.labels, strict=True))


def test_npz_with_a_test_split_is_read_as_it_is(bands_npz: Path, bands: Dataset) -> None:
    loaded = data.load(str(bands_npz))
    assert loaded.name == "bands"
    assert loaded.label_names == ("top", "middle", "bottom")
    assert loaded.image_shape == (12, 10, 3)
    for ours, theirs in ((loaded.train, bands.train), (loaded.test, bands.test)):
        np.testing.assert_array_equal(ours.images, theirs.images)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        assert (ours.images.dtype.name, ours.labels.dtype.name) == ("uint8", "int64")


def test_npz_without_a_test_split_is_split_by_the_seed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    first, again, other = data.load(str(path), seed=1), data.load(str(path), seed=1), data.load(str(path), seed=2)
    assert (len(first.train), len(first.test)) == (16, 4)
    assert first.image_shape == (3, 4, 1)
    assert first.label_names == ("0", "1", "2", "3")
    assert pairs(first.test) == pairs(again.test)
    assert pairs(first.test) != pairs(other.test)
    everything = sorted((i.tobytes(), int(n)) for i, n in zip(good()["image"], good()["label"], strict=True))
    assert pairs(first.train, first.test) == everything


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "has no image; it holds label"),
        ({"image": None, "label": None, "x": np.zeros(3)}, "has no image and no label; it holds x"),
        ({"image": good()["image"] / 255}, "images are float64; expected uint8"),
        ({"image": good()["image"].reshape(20, 12)}, r"images have shape \(20, 12\); expected \(N, height, width"),
        ({"image": np.zeros((20, 0, 4), np.uint8)}, r"shape \(20, 0, 4, 1\)"),
        ({"label": np.arange(20) - 1}, "found label -1; labels count from 0"),
        ({"label": np.arange(20) % 4 + 0.5}, "labels are float64; expected integers"),
        ({"label": np.eye(20, dtype=np.int64)}, r"labels have shape \(20, 20\); expected \(N,\)"),
        ({"label": np.arange(19) % 4}, "20 images but 19 labels"),
        ({"label": np.full(20, 3_000_000)}, "found label 3000000, but only 20 images"),
        ({"label": np.zeros(20, np.int64)}, "needs at least 2 classes, found 1"),
        ({"image": np.zeros((0, 3, 4), np.uint8), "label": np.zeros(0, np.int64)}, "there are no images"),
        ({"image": good(2)["image"], "label": good(2)["label"]}, "2 images are too few"),
        ({"label_names": np.array(["a", "b", "c"])}, r"found label 3, but there are 3 label names \(0 to 2\)"),
        ({"label_names": np.array(["a", "b", "a", "c"])}, "'a' comes twice"),
        ({"label_names": np.arange(4)}, "label_names are int64"),
        ({"image_test": good()["image"]}, "only one of image_test and label_test"),
        ({"image_test": np.zeros((4, 5, 5), np.uint8), "label_test": np.arange(4)}, "test images \\(5, 5, 1\\)"),
        ({"image": np.array([object()] * 20)}, "pickled Python objects, which are never loaded"),
    ],
)
def test_bad_npz_is_one_sentence_and_exit_code_65(
    tmp_path: Path, changes: dict[str, npt.NDArray[Any] | None], message: str
) -> None:
    path = saved(tmp_path, **changes)
    with pytest.raises(BadDataError, match=message) as caught:
        data.load(str(path))
    assert caught.value.exit_code == 65
    assert str(path) in caught.value.message or "mine" in caught.value.message
    assert "\n" not in caught.value.message


def test_pickle_is_never_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return (Path.touch, (tmp_path / "exploded",))

    path = saved(tmp_path, label=np.array([Bomb()] * 20, dtype=object))
    with pytest.raises(BadDataError, match="pickled"):
        data.load(str(path))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x03\x04 cut"])
def test_file_that_is_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(BadDataError, match=r"is no \.npz file"):
        data.load(str(path))


def test_damaged_npz(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BadDataError, match="is damaged"):
        data.load(str(path))


def test_zip_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BadDataError, match=r"has no image and no label; it holds readme\.txt"):
        data.load(str(path))


@pytest.mark.parametrize("folder", [None, "streamed"])
def test_zip_of_many_pictures_is_not_read_and_named_by_ten(folder: str | None, tmp_path: Path) -> None:
    path = tmp_path / "pictures.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2000):
            archive.writestr(f"cat/{number}.jpg", "picture")
    with pytest.raises(BadDataError, match=r"no label; it holds cat/0\.jpg, .* cat/9\.jpg and 1,990 more$"):
        data.load(str(path), folder=tmp_path / folder if folder else None)


def test_other_arrays_of_a_npz_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **good(), path=np.array([{"pickled": "and not ours"}]))  # type: ignore[arg-type]
    assert len(data.load(str(path)).train) == 16


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="does not exist"):
        data.load(str(tmp_path / "nowhere.npz"))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_folder_plain_and_gzipped(idx_folder: Path, suffix: str) -> None:
    if suffix:
        for path in list(idx_folder.iterdir()):
            path.with_name(path.name + suffix).write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    loaded = data.load(str(idx_folder))
    assert (loaded.name, loaded.label_names, loaded.image_shape) == ("my-digits", ("0", "1", "2"), (5, 4, 1))
    np.testing.assert_array_equal(loaded.train.images.ravel(), np.arange(120))
    np.testing.assert_array_equal(loaded.test.labels, [0, 1, 2])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:-1], r"truncated or damaged: 135 bytes, its header says 136"),
        ("train-images-idx3-ubyte", lambda b: b + b"x", "truncated or damaged"),
        ("train-images-idx3-ubyte", lambda b: b[:9], "truncated or damaged"),
        ("train-images-idx3-ubyte", lambda b: b"", "is not an IDX file: it begins with nothing"),
        ("train-images-idx3-ubyte", lambda b: b"\x89PNG" + b[4:], "is not an IDX file: it begins with 89504e47"),
        ("train-images-idx3-ubyte", lambda b: b"\0\0\x0d\x03" + b[4:], "IDX magic number 00000d03; expected 00000803"),
        ("t10k-labels-idx1-ubyte", lambda b: b"\0\0\x08\x03" + b[4:], "IDX magic number 00000803; expected 00000801"),
        ("t10k-labels-idx1-ubyte", lambda b: gzip.compress(b)[:-9], "truncated or damaged"),
        ("t10k-labels-idx1-ubyte", lambda b: b"\0\0\x08\x01\0\0\0\x02\0\0", "3 images but 2 labels"),
        ("t10k-labels-idx1-ubyte", lambda b: None, r"no t10k-labels-idx1-ubyte \(plain or \.gz\)"),
    ],
)
def test_bad_idx(idx_folder: Path, name: str, change: Callable[[bytes], bytes | None], message: str) -> None:
    path = idx_folder / name
    changed = change(path.read_bytes())
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    with pytest.raises(BadDataError, match=message) as caught:
        data.load(str(idx_folder))
    assert str(idx_folder) in caught.value.message


def test_folder_without_idx_files_names_all_four(tmp_path: Path) -> None:
    with pytest.raises(BadDataError) as caught:
        data.load(str(tmp_path))
    assert len(re.findall(r"(?:train|t10k)-(?:images|labels)-idx\d-ubyte", caught.value.message)) == 4


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_but_never_crash(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("idx") / "any"
    path.write_bytes(content)
    try:
        assert idx.read_idx(path, (1, 3)).nbytes <= len(content)
    except BadDataError as error:
        assert str(path) in error.message  # noqa: PT017
