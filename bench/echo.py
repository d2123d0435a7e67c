"""The classifier with a model that computes nothing: what all but inference costs, `python -m bench.echo`."""

import copy
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from edge import classifier, cli
from edge.model import Model, load_model


class Constant(Model):
    """A model's contract, with the same answer for every image."""

    def __init__(self, model: Model) -> None:
        vars(self).update(vars(model))
        self._row = np.eye(1, len(model.contract.labels), dtype=np.float32)[0]

    def infer(self, images: npt.NDArray[Any], *_: object) -> npt.NDArray[np.float32]:
        """All certain of the first class, float32 [N, classes]."""
        return np.broadcast_to(self._row, (len(images), len(self._row)))


def load_constant(*arguments: Any, **options: Any) -> Model:
    """As `load_model`: what it refuses is refused here, too."""
    return Constant(load_model(*arguments, **options))


main = copy.copy(classifier.main)
main.help = """Answer each image as python -m edge.classifier does, but for the model: every answer is the same.

It takes the same options and runs the same loop, so that what is between the two is the cost of inference."""
main.epilog = "Example: python -m bench.echo --model samples/lenet.onnx --group bench.echo"

if __name__ == "__main__":
    with patch.object(classifier, "load_model", load_constant):
        cli.run(main, "bench.echo")
