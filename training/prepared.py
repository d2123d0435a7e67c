"""tfds data sets on disk: find, download, write and read them."""

import contextlib
import difflib
import io
import logging
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from training import store
from training.dataset import Dataset, Split, checked_dataset, checked_split
from training.errors import BadDataError

READ_BATCH = 1000
PROBE_TIMEOUT_S = 10
RETRIES = 3
LEFTOVER_AGE_S = 24 * 3600
PREPARED_COPIES = "https://storage.googleapis.com"
"""Where tfds looks for data sets that are prepared already, before it goes to their own host."""


def open_builder(name: str, data_dir: str | None = None) -> Any:
    """The tfds builder for `name`, checked to be image classification with `image`, `label` and a test split.

    Raises: BadDataError for an unknown name, with near ones, or another kind of data set.
    """
    for chatty in ("absl", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see tensorflow.org/datasets/catalog for the names"
        raise BadDataError(f"there is no tfds data set and no file named {name!r}: {hint}") from None
    except Exception as error:  # tfds raises many types for a bad config, version or data directory
        raise BadDataError(f"tfds cannot open {name!r}: {_first_line(error)}") from error
    _check_features(builder)
    _check_splits(builder)
    return builder


def _check_features(builder: Any) -> None:
    features = builder.info.features
    found = list(features) if isinstance(features, tfds.features.FeaturesDict) else []
    if "image" not in found or "label" not in found:
        have = ", ".join(sorted(found)) or "none"
        raise BadDataError(
            f"{builder.name} is no image classification: it needs image and label, its features are {have}"
        )
    if not isinstance(features["image"], tfds.features.Image):
        raise BadDataError(f"{builder.name}: the feature image is a {type(features['image']).__name__}, not an Image")
    label = features["label"]
    if label.shape != () or not np.issubdtype(label.np_dtype, np.integer):
        raise BadDataError(f"{builder.name}: the feature label is no single integer: {label}")


def _check_splits(builder: Any) -> None:
    splits = sorted(builder.info.splits)
    if splits and not {"train", "test"} <= set(splits):
        raise BadDataError(f"{builder.name} has no train and test split, only {', '.join(splits)}")


def download(builder: Any) -> None:
    """Let tfds download and prepare the data set.

    Raises: BadDataError with tfds's reason, after seconds rather than minutes where the network is closed.
    """
    _remove_leftovers(builder)
    hosts = [PREPARED_COPIES, *list(builder.url_infos)[:1]]
    reasons = [_unreachable(url) for url in hosts]
    if all(reasons):
        raise BadDataError(f"cannot reach {hosts[-1]} ({reasons[-1]})")
    click.echo(f"Downloading {builder.name} with tensorflow-datasets ...", err=True)
    try:
        with _few_retries():
            _prepare(builder)
    except Exception as error:  # whatever a data set's own code, requests or the file system raise
        if not builder.is_prepared():
            raise BadDataError(_first_line(error)) from error


def _unreachable(url: str) -> str | None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - URLs come from tfds
    try:
        with urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S):  # noqa: S310
            return None
    except urllib.error.HTTPError:
        return None  # it answered; whether it has the file is tfds's affair
    except urllib.error.URLError as error:
        return None if isinstance(error.reason, ssl.SSLError) else str(error.reason)
    except OSError as error:
        return str(error)


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """tfds tries each file ten times with doubling pauses: 204 s until a name that does not resolve is reported."""
    from tensorflow_datasets.core.download import downloader  # noqa: PLC0415

    before, downloader.MAX_RETRIES = downloader.MAX_RETRIES, RETRIES
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before


def _prepare(builder: Any) -> None:
    """Prepare, even where a version directory without `dataset_info.json` lies: by default tfds takes it for the data.

    tfds prints what it does to stdout, which here is for results; its progress bars are for people.
    """
    config = tfds.download.DownloadConfig(download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS)
    tfds.display_progress_bar(sys.stderr.isatty())
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_config=config)


def _remove_leftovers(builder: Any) -> None:
    """Remove what a killed preparation left; tfds itself removes it after an error or Ctrl-C."""
    for path in Path(builder.data_path).parent.glob("incomplete.*"):
        if time.time() - path.stat().st_mtime > LEFTOVER_AGE_S:
            shutil.rmtree(path, ignore_errors=True)


def write(builder: Any, train: Split, test: Split) -> None:
    """Write arrays as the prepared data set that `builder` would have made, so that every later load is offline.

    Raises: BadDataError when the data directory cannot be written.
    """
    click.echo(f"Preparing {builder.name} in {builder.data_path} (once) ...", err=True)
    try:
        _prepare(_writer(builder, {"train": train, "test": test}))
    except Exception as error:
        # Two first runs at once prepare the same data: the slower one finds the directory taken.
        if not builder.is_prepared():
            raise BadDataError(f"cannot write {builder.data_path}: {_first_line(error)}") from error


def _writer(builder: Any, splits: dict[str, Split]) -> Any:
    def split_generators(self: Any, manager: Any) -> dict[str, Any]:
        return {name: self._generate_examples(split) for name, split in splits.items()}

    def generate_examples(self: Any, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in range(len(split)):
            yield i, {"image": split.images[i], "label": int(split.labels[i])}

    methods = {"_split_generators": split_generators, "_generate_examples": generate_examples, "name": builder.name}
    with tfds.core.registered.skip_registration():
        writer = type(type(builder).__name__, (type(builder),), {**methods, "__module__": type(builder).__module__})
    return writer(data_dir=builder.data_dir_root)


def read(builder: Any, folder: Path | None = None) -> Dataset:
    """Read the train and test splits of a prepared data set, in the order of its files; images into `folder` if given.

    Raises: BadDataError for images of different sizes, other dtypes than uint8, or damaged files.
    """
    click.echo(f"Loading {builder.name} ...", err=True)
    label = builder.info.features["label"]
    names = label.names if isinstance(label, tfds.features.ClassLabel) else None
    train, test = (_read_split(builder, split, folder) for split in ("train", "test"))
    return checked_dataset(builder.name, train, test, names)


def _read_split(builder: Any, split: str, folder: Path | None) -> Split:
    decoders = tfds.decode.PartialDecoding({"image": True, "label": True})
    try:
        examples = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False)
        # tfds's own batch_size pads images of different sizes with black, in silence.
        parts = examples.batch(READ_BATCH).as_numpy_iterator()
        return _gathered(builder, split, parts, folder)
    except tf.errors.InvalidArgumentError as error:
        if "different shapes" not in str(error):
            raise _damaged(builder, error) from error
        raise _of_different_sizes(builder) from None
    except (tf.errors.OpError, OSError, ValueError, AssertionError) as error:
        raise _damaged(builder, error) from error


def _gathered(builder: Any, split: str, parts: Iterator[dict[str, Any]], folder: Path | None) -> Split:
    count, done, labels = builder.info.splits[split].num_examples, 0, []
    images: Any = None
    for part in parts:
        found = checked_split(f"{builder.name} {split}", part["image"], part["label"])
        if images is None:
            images = store.empty((count, *found.images.shape[1:]), folder)
        if images.shape[1:] != found.images.shape[1:]:
            raise _of_different_sizes(builder)
        images[done : done + len(found)] = found.images
        labels.append(found.labels)
        done += len(found)
    if done != count:
        raise ValueError(f"{split} holds {done} examples instead of {count}")
    if not count:
        raise BadDataError(f"{builder.name} {split}: there are no images")
    return Split(images, np.concatenate(labels))


def _of_different_sizes(builder: Any) -> BadDataError:
    return BadDataError(f"{builder.name}: its images have different sizes; all must have one size")


def _damaged(builder: Any, error: Exception) -> BadDataError:
    return BadDataError(
        f"the prepared data set in {builder.data_path} cannot be read ({_first_line(error)}): "
        "remove that directory and run again"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
