"""Images from files: what is read, and what is refused by name."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import BadDataError
from edge.images import load_images

IMAGE = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
LABEL = np.array([0, 1, 2, 1, 0])


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def test_npz_with_and_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    np.savez(path, image=IMAGE, label=LABEL, label_names=np.array(["a", "b", "c"]))
    images = load_images(path)
    np.testing.assert_array_equal(images.image, IMAGE)
    assert [images.true_label(i) for i in range(5)] == ["a", "b", "c", "b", "a"]
    np.savez(path, image=IMAGE, label=LABEL)
    assert load_images(path).true_label(2) == "2"
    np.savez(path, image=IMAGE)
    assert load_images(path).true_label(2) is None


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_file_and_folder(tmp_path: Path, suffix: str) -> None:
    pack = gzip.compress if suffix else bytes
    (tmp_path / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx(IMAGE)))
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(idx(IMAGE[:1])))
    assert load_images(tmp_path).true_label(0) is None
    (tmp_path / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(LABEL)))
    for path in (tmp_path, tmp_path / f"t10k-images-idx3-ubyte{suffix}"):
        images = load_images(path)
        np.testing.assert_array_equal(images.image, IMAGE)
        assert [images.true_label(i) for i in range(5)] == ["0", "1", "2", "1", "0"]


BAD_NPZ: dict[str, tuple[dict[str, Any], str]] = {
    "no image": ({"picture": IMAGE}, "no array 'image'; it has: picture"),
    "floats": ({"image": IMAGE.astype(float)}, "'image' is float64"),
    "flat": ({"image": np.zeros(3, np.uint8)}, "shape (3,)"),
    "none": ({"image": IMAGE[:0]}, "holds no image"),
    "too few labels": ({"image": IMAGE, "label": LABEL[:2]}, "'label' is int64"),
    "labels of floats": ({"image": IMAGE, "label": LABEL * 0.5}, "'label' is float64"),
    "too few names": ({"image": IMAGE, "label": LABEL, "label_names": np.array(["a"])}, "runs to 2"),
    "names of numbers": ({"image": IMAGE, "label": LABEL, "label_names": LABEL}, "list of texts"),
    "objects": ({"image": np.array([{}], object)}, "no plain number or text"),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_a_bad_npz_is_refused(tmp_path: Path, name: str) -> None:
    arrays, reason = BAD_NPZ[name]
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(BadDataError) as raised:
        load_images(path)
    assert str(path) in raised.value.message
    assert reason in raised.value.message


def npy_header() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(0, np.uint8))
    return buffer.getvalue()[8:]


BAD_FILES = {
    "noise.npz": (b"noise", "cannot be read as .npz"),
    "array.npz": (b"\x93NUMPY\x01\x00" + npy_header(), "cannot be read as .npz"),
    "cut.npz": (b"PK\x03\x04", "cannot be read as .npz"),
    "noise": (b"noise", "no IDX file"),
    "empty": (b"", "no IDX file"),
    "labels-for-images": (idx(LABEL), "no IDX file of 3 dimensions"),
    "cut": (idx(IMAGE)[:-1], "59 bytes of 60"),
    "longer": (idx(IMAGE) + b"x", "61 bytes of 60"),
    "huge": (bytes([0, 0, 8, 3]) + b"\xff" * 12, "more than"),
    "cut.gz": (gzip.compress(idx(IMAGE))[:-9], "cannot be read"),
    "noise.gz": (b"noise", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused(tmp_path: Path, name: str) -> None:
    content, reason = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadDataError) as raised:
        load_images(path)
    assert reason in raised.value.message


def test_no_array_takes_more_than_it_may(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=IMAGE, label=LABEL)
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(IMAGE))
    for path in (tmp_path / "a.npz", tmp_path / "images-idx3-ubyte"):
        with pytest.raises(BadDataError, match=r"at most 50 are accepted|more than 50 bytes"):
            load_images(path, max_bytes=50)
        np.testing.assert_array_equal(load_images(path, max_bytes=10_000).image, IMAGE)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"there is no file or folder .*none\.npz"):
        load_images(tmp_path / "none.npz")
    with pytest.raises(BadDataError, match="holds no IDX file"):
        load_images(tmp_path)
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(IMAGE))
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx(LABEL[:3]))
    with pytest.raises(BadDataError, match="3 labels for 5 images"):
        load_images(tmp_path)
