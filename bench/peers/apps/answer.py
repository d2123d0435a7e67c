"""What every Python peer does with images: the same model on one thread that does not spin, and the same answer."""

import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime


class Arguments(NamedTuple):
    """How a peer is called, in this order; its `setting`, for-latency or for-rate, is what it is set up for."""

    setting: str
    servers: str
    group: str
    requests: str
    predictions: str
    model: str


def arguments() -> Arguments:
    """This process's own."""
    return Arguments(*sys.argv[1:])


class Classifier:
    """The model, as our own classifier runs it."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        contract = json.loads(self._session.get_modelmeta().custom_metadata_map["contract"])
        self._shape, self._labels = contract["input"]["shape"], contract["labels"]

    def answers(self, values: Sequence[bytes]) -> list[bytes]:
        """One JSON document for each image, all of them inferred at once."""
        images = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), *self._shape)
        (probabilities,) = self._session.run(None, {self._input: images})
        return [self._document(row) for row in probabilities]

    def answer(self, value: bytes) -> bytes:
        """The JSON document for one image."""
        return self.answers([value])[0]

    def _document(self, row: np.ndarray) -> bytes:
        best = int(row.argmax())
        found = {"class": best, "label": self._labels[best], "confidence": round(float(row[best]), 6)}
        return json.dumps(found).encode()
