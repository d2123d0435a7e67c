"""A run directory as export reads it: what the model is called, what it answers, and the images that gate it."""

import base64
import binascii
import json
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edge.contract import MIX_TOLERANCE, Reference, is_share
from edge.errors import BadDataError
from export.samples import Samples, read_samples
from export.source import Source

COMPLETE = ("config.json", "metrics.json")
"""Files of a run that is complete; training writes `metrics.json` last."""

T = TypeVar("T")


def predictions_of(directory: Path) -> Path:
    """Where the run in `directory` keeps its test images."""
    return directory / "predictions" / "test.npz"


def newest_run(runs: Path) -> Path:
    """The complete run under `runs` that was created last.

    Raises: BadDataError if there is none, or one is damaged.
    """
    complete = [path for path in runs.glob("*/") if all((path / name).is_file() for name in COMPLETE)]
    if not complete:
        raise BadDataError(f"there is no complete run in {runs}: train one with `python -m training`")
    return max(complete, key=lambda path: (_created(path), path.name))


def _created(run: Path) -> str:
    path = run / "config.json"
    return _field(_read_json(path), "created", str, path)


def read_run(directory: Path) -> Source:
    """Read what export needs of a run.

    Raises: BadDataError, naming the file and the field, for a run that is incomplete or damaged.
    """
    for name in COMPLETE:
        if not (directory / name).is_file():
            raise BadDataError(
                f"the run {directory} is incomplete (no {name}): train to the end with `python -m training`"
            )
    config_path, metrics_path = directory / "config.json", directory / "metrics.json"
    config, metrics = _read_json(config_path), _read_json(metrics_path)
    dataset = _field(config, "dataset", dict, config_path)
    reference_path = directory / "reference.json"
    reference = _read_json(reference_path)
    labels = _labels(_field(dataset, "label_names", list, config_path), config_path)
    shape = tuple(_field(dataset, "image_shape", list, config_path))
    if not all(type(size) is int and size > 0 for size in shape):
        raise BadDataError(f"{config_path}: 'image_shape' must be positive integers")
    name, created = directory.resolve().name, _field(config, "created", str, config_path)
    # A commit may train any number of models; a run's time stamp is its own, and later is greater.
    stamp = re.match(r"\d{8}-\d{6}", name)
    return Source(
        saved_model=directory / "models" / "saved_model",
        name=_field(config, "architecture", str, config_path),
        version=stamp.group() if stamp else created,
        run=name,
        dataset=_without_folders(_field(dataset, "name", str, config_path)),
        labels=labels,
        image_shape=shape,
        created=created,
        test_accuracy=_share(metrics, "test_accuracy", metrics_path),
        golden=_golden(reference, shape, reference_path),
        reference=_reference(reference, labels, reference_path),
        test_images=predictions_of(directory),
        training_images=directory / "predictions" / "train.npz",
    )


def read_predictions(run: Source) -> Samples:
    """The run's test images, with the probabilities that it recorded for them.

    Raises: BadDataError for a file that is missing or damaged.
    """
    path, samples = run.test_images, read_samples(run.test_images)
    try:
        with np.load(path, allow_pickle=False) as archive:
            probabilities = archive["probabilities"]
    except KeyError:
        raise BadDataError(f"{path} has no array 'probabilities'") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadDataError(f"{path} cannot be read ({error})") from None
    shape = (len(samples.label), len(run.labels))
    if probabilities.shape != shape or probabilities.dtype.kind != "f":
        raise BadDataError(
            f"{path}: 'probabilities' is {probabilities.dtype} of shape {probabilities.shape}; "
            f"it must be floats of shape {shape}"
        )
    return replace(samples, probabilities=probabilities)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadDataError(
            f"there is no {path}: the run is incomplete, train again with `python -m training`"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadDataError(f"{path} cannot be read ({error})") from None
    if not isinstance(document, dict):
        raise BadDataError(f"{path} must hold a JSON object")
    return document


def _field(document: dict[str, Any], key: str, kind: type[T], path: Path) -> T:
    value = document.get(key)
    if not value:
        raise BadDataError(f"{path} has no {key!r}")
    if not isinstance(value, kind):
        raise BadDataError(f"{path}: {key!r} is of the wrong type")
    return value


def _share(document: dict[str, Any], key: str, path: Path) -> float:
    value = document.get(key)
    if not is_share(value):
        raise BadDataError(f"{path}: {key!r} must be a number from 0 to 1, not {value!r}")
    return float(value)


def _labels(values: list[Any], path: Path) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values) or len(set(values)) != len(values):
        raise BadDataError(f"{path}: 'label_names' must be strings that differ from one another")
    return tuple(values)


def _reference(document: dict[str, Any], labels: tuple[str, ...], path: Path) -> Reference | None:
    """What the model predicted for the test images; None where the run does not say it."""
    if "class_mix" not in document:
        return None
    mix = _field(document, "class_mix", dict, path)
    shares: list[Any] = [mix.get(label) for label in labels]
    if len(mix) != len(labels) or not all(map(is_share, shares)):
        raise BadDataError(f"{path}: 'class_mix' must have a number from 0 to 1 for each label")
    if abs(sum(shares) - 1) > MIX_TOLERANCE:
        raise BadDataError(f"{path}: 'class_mix' sums to {sum(shares):.4f} instead of 1")
    return Reference(tuple(map(float, shares)), _share(_field(document, "confidence", dict, path), "mean", path))


def _without_folders(dataset: str) -> str:
    # A data set may be a file; where it lay on the workstation is nobody's business on the device.
    for flavour in (PurePosixPath(dataset), PureWindowsPath(dataset)):
        if flavour.is_absolute() or flavour.parts[:1] in (("~",), ("..",), (".",)):
            return flavour.name
    return dataset


def _golden(document: dict[str, Any], shape: tuple[int, ...], path: Path) -> npt.NDArray[np.uint8]:
    try:
        encoded = [item["image"] for item in document["golden"]]
        return np.stack(
            [np.frombuffer(base64.b64decode(text, validate=True), np.uint8).reshape(shape) for text in encoded]
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BadDataError(
            f"{path}: 'golden' must be a list of uint8 images {list(shape)} in base64 ({error})"
        ) from None
