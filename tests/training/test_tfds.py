"""tfds data sets through tfds's own code, prepared here in miniature, and the three ways to Fashion-MNIST."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from training import data, debian, idx, prepared
from training.dataset import Dataset, Split
from training.errors import BadDataError

Make = Callable[..., Path]


def builder_class(name: str, features: dict[str, Any], splits: dict[str, list[dict[str, Any]]]) -> Any:
    def info(self: Any) -> Any:
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    body = {
        "name": name,
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": info,
        "_split_generators": lambda self, manager: {s: self._generate_examples(e) for s, e in splits.items()},
        "_generate_examples": lambda self, examples: iter(enumerate(examples)),
        "__module__": __name__,
    }
    with tfds.core.registered.skip_registration():
        return type(name, (tfds.core.GeneratorBasedBuilder,), body)


def prepare(data_dir: Path, name: str, features: dict[str, Any], splits: dict[str, list[dict[str, Any]]]) -> None:
    builder_class(name, features, splits)(data_dir=str(data_dir)).download_and_prepare()


def examples(split: Split) -> list[dict[str, Any]]:
    return [{"image": i, "label": int(n)} for i, n in zip(split.images, split.labels, strict=True)]


def as_set(split: Split) -> list[tuple[bytes, int]]:
    return sorted((i.tobytes(), int(n)) for i, n in zip(split.images, split.labels, strict=True))


@pytest.mark.parametrize(
    ("shape", "names"),
    [((7, 5, 1), ["no", "yes"]), ((16, 16, 3), ["a", "b", "c", "d"]), ((12, 20, 3), [f"c{i}" for i in range(6)])],
)
def test_any_shape_and_number_of_classes(
    tmp_path: Path, make_split: Callable[..., Split], shape: tuple[int, int, int], names: list[str]
) -> None:
    train, test = make_split(40, shape, len(names), 1), make_split(20, shape, len(names), 2)
    features = {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(names=names)}
    prepare(tmp_path, "tiny", features, {"train": examples(train), "test": examples(test)})
    loaded = data.load("tiny", data_dir=str(tmp_path))
    assert (loaded.name, loaded.label_names, loaded.image_shape) == ("tiny", tuple(names), shape)
    assert as_set(loaded.train) == as_set(train)
    assert as_set(loaded.test) == as_set(test)


IMAGE = tfds.features.Image(shape=(4, 4, 1))
LABEL = tfds.features.ClassLabel(num_classes=2)
ONE = {"image": np.zeros((4, 4, 1), np.uint8), "label": 0}


@pytest.mark.parametrize(
    ("features", "splits", "message"),
    [
        ({"image": IMAGE, "label": LABEL}, {"train": [ONE]}, "no train and test split, only train"),
        (
            {"picture": IMAGE, "label": LABEL},
            {"train": [{"picture": ONE["image"], "label": 0}]},
            "needs image and label, its features are label, picture",
        ),
        (
            {"image": IMAGE, "label": tfds.features.Text()},
            {"train": [{"image": ONE["image"], "label": "cat"}]},
            "label is no single integer",
        ),
        (
            {"image": tfds.features.Tensor(shape=(4, 4, 1), dtype=np.float32), "label": LABEL},
            {"train": [{"image": np.zeros((4, 4, 1), np.float32), "label": 0}]},
            "image is a Tensor, not an Image",
        ),
        (
            {"image": tfds.features.Image(shape=(4, 4, 1), dtype=np.uint16), "label": LABEL},
            {s: [{"image": np.zeros((4, 4, 1), np.uint16), "label": 0}] for s in ("train", "test")},
            "images are uint16; expected uint8",
        ),
        (
            {"image": tfds.features.Image(shape=(None, None, 1)), "label": LABEL},
            {s: [ONE, {"image": np.zeros((5, 4, 1), np.uint8), "label": 1}] for s in ("train", "test")},
            "its images have different sizes",
        ),
        (
            {"image": IMAGE, "label": LABEL},
            {"train": [ONE], "test": [{**ONE, "label": -1}]},
            "found label -1",
        ),
    ],
)
def test_data_set_that_does_not_fit(
    tmp_path: Path, features: dict[str, Any], splits: dict[str, list[dict[str, Any]]], message: str
) -> None:
    prepare(tmp_path, "odd", features, splits)
    with pytest.raises(BadDataError, match=message):
        data.load("odd", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashon_mnist", "no tfds data set and no file named 'fashon_mnist': did you mean fashion_mnist"),
        ("zzzzqqqq", "see tensorflow.org/datasets"),
        ("cifar10/nosuchconfig", "tfds cannot open 'cifar10/nosuchconfig'"),
        ("not a name", "not a name"),
        ("ag_news_subset", "ag_news_subset is no image classification"),
    ],
)
def test_name_that_tfds_cannot_serve(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(BadDataError, match=message) as caught:
        data.load(name, data_dir=str(tmp_path))
    assert caught.value.exit_code == 65
    assert "\n" not in caught.value.message


def test_damaged_prepared_data_says_which_directory_to_remove(tmp_path: Path) -> None:
    prepare(tmp_path, "cut", {"image": IMAGE, "label": LABEL}, {"train": [ONE] * 4, "test": [ONE] * 4})
    shard = next((tmp_path / "cut" / "1.0.0").glob("*train*"))
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(BadDataError, match=r"cut/1\.0\.0 cannot be read .*: remove that directory"):
        data.load("cut", data_dir=str(tmp_path))


@pytest.fixture
def closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_unreachable", lambda url: "no network in this test")


@pytest.fixture(scope="session")
def debian_folder() -> Iterator[Path]:
    """The real 70,000 images out of Debian's package."""
    with debian.fashion_mnist_folder() as folder:
        yield folder


def test_unreachable_host_costs_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    started = time.monotonic()
    with pytest.raises(BadDataError, match="cifar10 is not prepared and tfds could not download it: cannot reach"):
        data.load("cifar10", data_dir=str(tmp_path))
    assert time.monotonic() - started < 60  # tfds alone tries for more than three minutes


def test_error_of_a_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(builder: Any) -> None:
        raise ConnectionError("connection reset\nand a page of context")

    monkeypatch.setattr(prepared, "_unreachable", lambda url: None)
    monkeypatch.setattr(prepared, "_prepare", fail)
    with pytest.raises(BadDataError, match=r"could not download it: connection reset$"):
        data.load("cifar10", data_dir=str(tmp_path))


@pytest.mark.usefixtures("closed_network")
def test_no_way_to_fashion_mnist_is_one_error_with_all_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def nowhere() -> Iterator[Path]:
        raise BadDataError("apt-get and dpkg-deb not found")
        yield tmp_path

    monkeypatch.setattr(debian, "fashion_mnist_folder", nowhere)
    with pytest.raises(BadDataError) as caught:
        data.load("fashion_mnist", data_dir=str(tmp_path))
    for part in (str(tmp_path), "no network in this test", "dataset-fashion-mnist", "apt-get and dpkg-deb not found"):
        assert part in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.usefixtures("closed_network")
def test_fashion_mnist_from_debian_is_prepared_once(
    tmp_path: Path, debian_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A version directory without dataset_info.json is what a broken copy leaves; tfds alone would take it for data.
    half = tmp_path / "fashion_mnist" / "3.0.1"
    half.mkdir(parents=True)
    (half / "fashion_mnist-train.tfrecord-00000-of-00001").write_bytes(b"half")
    stale = half.with_name("incomplete.ABCDEF_3.0.1")
    stale.mkdir()
    os.utime(stale, (0, 0))
    monkeypatch.setattr(debian, "FOLDER", debian_folder)

    first = data.load("fashion_mnist", data_dir=str(tmp_path))
    assert capsys.readouterr().out == ""
    assert not list(half.parent.glob("incomplete.*"))
    monkeypatch.setattr(data, "_obtain", lambda builder: pytest.fail("prepared data were not found"))
    again = data.load("fashion_mnist", data_dir=str(tmp_path))

    assert first.label_names[9] == "Ankle boot"
    assert np.bincount(first.train.labels).tolist() == [6000] * 10
    assert np.bincount(first.test.labels).tolist() == [1000] * 10
    assert same(first, again)
    train, test = idx.read_folder(debian_folder)
    assert as_set(first.train) == as_set(train)
    assert as_set(first.test) == as_set(test)


def same(one: Dataset, other: Dataset) -> bool:
    def digest(d: Dataset) -> str:
        arrays = (d.train.images, d.train.labels, d.test.images, d.test.labels)
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()

    return digest(one) == digest(other)


def test_package_is_fetched_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "FOLDER", tmp_path / "usr/share/datasets/nowhere")
    ran: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        ran.append(command)
        if command[-2:] == ["download", "dataset-fashion-mnist"] and len(ran) > 1:
            (options["cwd"] / "dataset-fashion-mnist_1_all.deb").touch()
        failed = len(ran) == 1
        return SimpleNamespace(
            returncode=100 if failed else 0, stderr="E: Unable to locate package\n" if failed else ""
        )

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    debian.fetch(tmp_path)
    assert [c[0] for c in ran] == ["apt-get", "apt-get", "apt-get", "dpkg-deb"]
    assert any(word.startswith("Dir::State::Lists=") for word in ran[1])
    assert ran[1][-1] == "update"


@pytest.mark.parametrize(
    ("which", "message"),
    [(lambda tool: None, "apt-get and dpkg-deb not found"), (lambda tool: tool, "apt-get failed: E: no mirror")],
)
def test_no_debian_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: Callable[[str], str | None], message: str
) -> None:
    monkeypatch.setattr(shutil, "which", which)
    answer = SimpleNamespace(returncode=100, stderr="W: something\nE: no mirror\n")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: answer)
    with pytest.raises(BadDataError, match=message):
        debian.fetch(tmp_path)
