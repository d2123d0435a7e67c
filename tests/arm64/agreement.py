"""How far the probabilities of two processors lie apart, and whether they name the same classes."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.arm64.machine import Machine, Processor, environment
from tests.paths import ROOT, SAMPLES

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

    Raises: CalledProcessError when an interpreter fails, ValueError as `compare` does.
    """
    asked = [str(SAMPLES / f"{name}.onnx"), str(emulated.images), str(count)]
    here = _answers(Path(sys.executable), os.environ, asked)
    return compare(here, _answers(emulated.python(processor), environment(), asked))


def _answers(python: Path, variables: Mapping[str, str], asked: list[str]) -> Probabilities:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "probabilities.npy")
        command = [str(python), "-m", "tests.arm64.probabilities", *asked, str(output)]
        subprocess.run(command, cwd=ROOT, env=variables, check=True)
        found: Probabilities = np.load(output)
        return found
