"""What a model answers to images of a folder: `python -m tests.arm64.probabilities MODEL IMAGES COUNT OUTPUT.npy`.

It runs in either interpreter, so that there is one way to the numbers that are compared.
"""

import sys
from pathlib import Path

import numpy as np

from edge.images import load_images
from edge.model import load_model


def main(model: str, images: str, count: str, output: str) -> None:
    """Write the class probabilities of the first images, float32 [count, classes]."""
    served = load_model(Path(model))
    image = load_images(Path(images)).image[: int(count)]
    np.save(output, served.infer(image.reshape(-1, *served.contract.shape)))


if __name__ == "__main__":
    main(*sys.argv[1:])
