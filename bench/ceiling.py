"""The bare limit of onnxruntime: how fast one thread infers when nothing else is to be done."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.model import Model

BATCHES = (1, 32, 64)
_WARM_UP_SHARE = 0.1


@dataclass(frozen=True)
class Ceiling:
    """Images a second at one batch size, and seconds of this process's CPU for 1,000 images."""

    batch: int
    images_per_s: float
    cpu_s_per_1000: float


def ceiling(model: Model, images: npt.NDArray[Any], batch: int, seconds: float) -> Ceiling:
    """Infer a prepared batch over and over for `seconds`, behind a warm-up of a tenth of it."""
    prepared = _batch(model, images, batch)
    _infer_for(model, prepared, seconds * _WARM_UP_SHARE)
    cpu_s = time.process_time()
    count, took_s = _infer_for(model, prepared, seconds)
    cpu_s = time.process_time() - cpu_s
    return Ceiling(batch, count * batch / took_s, cpu_s / (count * batch) * 1000)


def batches(max_batch: int) -> Sequence[int]:
    """The batch sizes to look at: the usual ones, and the one that is in use."""
    return sorted({*BATCHES, max_batch})


def _batch(model: Model, images: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    taken = np.stack(list(islice(cycle(images), size)))
    return np.ascontiguousarray(taken.reshape(size, *model.contract.shape), model.contract.dtype)


def _infer_for(model: Model, prepared: npt.NDArray[Any], seconds: float) -> tuple[int, float]:
    start = time.perf_counter()
    count = 0
    while (took := time.perf_counter() - start) < seconds or count == 0:
        model.infer(prepared)
        count += 1
    return count, took
