"""A batch through the model; an image on which the model fails is told from the others."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import BadRequestError, EdgeError
from edge.model import Model, first_line

NOT_FINITE = BadRequestError("the model's output is not finite")


@dataclass(frozen=True)
class Inferred:
    """Class probabilities, float32 [N, classes], and when their inference began and ended, monotonic.

    `failures` says, by their indices, why images have no answer.
    """

    probabilities: npt.NDArray[np.float32]
    started: float
    ended: float
    failures: Mapping[int, BadRequestError]


def infer(model: Model, images: npt.NDArray[Any]) -> Inferred:
    """What the model answers to images [N, *contract.shape].

    Raises: EdgeError when it fails on an image that it is known to answer, too.
    """
    started, failures = time.monotonic(), dict[int, BadRequestError]()
    try:
        probabilities = _answers(model, images)
    except Exception:  # onnxruntime's errors share no root of their own
        probabilities, failures = _one_by_one(model, images)
    ended = time.monotonic()
    is_finite = np.isfinite(probabilities).all(axis=1)
    if not is_finite.all():
        failures = dict.fromkeys(np.flatnonzero(~is_finite).tolist(), NOT_FINITE) | failures
    return Inferred(probabilities, started, ended, failures)


def _answers(model: Model, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    probabilities = model.infer(images)
    if probabilities.shape != (len(images), len(model.contract.labels)):
        raise BadRequestError(f"it gives {probabilities.shape} for {len(images)} images")
    return probabilities


def _one_by_one(model: Model, images: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], dict[int, BadRequestError]]:
    """Probabilities, NaN where there are none, and why."""
    try:
        _answers(model, model.contract.example[np.newaxis])
    except Exception as error:  # as above
        raise EdgeError(f"the model fails on any image, though it did not when loaded ({first_line(error)})") from error
    probabilities = np.full((len(images), len(model.contract.labels)), np.nan, np.float32)
    failures: dict[int, BadRequestError] = {}
    for index in range(len(images)):
        try:
            probabilities[index] = _answers(model, images[index : index + 1])
        except Exception as error:  # as above
            failures[index] = BadRequestError(f"the model fails on it ({first_line(error)})")
    return probabilities, failures
