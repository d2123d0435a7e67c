"""How far the probabilities of two processors lie apart, and whether they name the same classes."""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.errors import AppError
from tests.arm64.machine import Machine, Processor, environment
from tests.arm64.processes import AT_A_TIME, started
from tests.paths import SAMPLES

TIE = 1e-5
"""Classes whose probabilities are as near as this may change places: processors round differently."""

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """Of some images: how many have two first classes within a tie, how many differ in class, tied or not."""

    images: int
    ties: int
    differing: int
    differing_untied: int
    largest_difference: float

    @property
    def is_full(self) -> bool:
        """Whether all classes but those of ties are the same."""
        return self.images > 0 and self.differing_untied == 0


def compare(here: Probabilities, there: Probabilities) -> Agreement:
    """Compare class probabilities [N, classes] of the same images.

    Raises: ValueError when they are not of the same shape, or not all finite.
    """
    if here.shape != there.shape or not (np.isfinite(here).all() and np.isfinite(there).all()):
        raise ValueError(f"{here.shape} and {there.shape} are not the probabilities of the same images")
    second, first = np.sort(here, axis=1)[:, -2:].T
    is_tie = first - second <= TIE
    differs = here.argmax(axis=1) != there.argmax(axis=1)
    return Agreement(
        images=len(here),
        ties=int(is_tie.sum()),
        differing=int(differs.sum()),
        differing_untied=int((differs & ~is_tie).sum()),
        largest_difference=float(np.abs(here.astype(np.float64) - there).max(initial=0)),
    )


def measure(emulated: Machine, processor: Processor, name: str, count: int) -> Agreement:
    """Let a shipped model answer the first `count` test images on an emulated processor and on this one.

    Raises: AppError when an interpreter fails, ValueError as `compare` does.
    """
    asked = [str(SAMPLES / f"{name}.onnx"), str(emulated.images)]
    here = _answers(Path(sys.executable), os.environ, asked, count)
    return compare(here, _answers(emulated.python(processor), environment(), asked, count))


def _answers(python: Path, variables: Mapping[str, str], asked: Sequence[str], count: int) -> Probabilities:
    """The probabilities of all images, which a few processes share."""
    bounds = [count * part // AT_A_TIME for part in range(AT_A_TIME + 1)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, f"{start}.npy") for start in bounds[:-1]]
        commands = [
            [str(python), "-m", "tests.arm64.probabilities", *asked, str(start), str(stop), str(output)]
            for (start, stop), output in zip(pairwise(bounds), outputs, strict=True)
        ]
        with started(commands, variables, [None] * AT_A_TIME) as running:
            for process in running:
                if process.wait() != 0:
                    raise AppError(f"{python} ended with {process.returncode} while it computed, as said above")
        return np.concatenate([np.load(output) for output in outputs])
