"""The classifier's loop: read, decode, infer, write; whatever a poll returned is a batch."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.codec import PredictionEncoder, Request, Timing, decode_request, stacked
from edge.delivery import Delivery
from edge.errors import BadRequestError
from edge.letter import encode_dead_letter
from edge.model import Model
from edge.progress import Ticket
from edge.records import Record, Source
from edge.rejections import Rejections

MAX_BATCH = 64
"""What is read at once, and inferred at once: more makes a small model no faster, and all that it takes later."""
TURN_S = 2.0
"""How long one turn of the loop may take: until it ends nothing is committed, and no signal is heard."""


@dataclass(frozen=True)
class Options:
    """Where answers go, and their bounds."""

    prediction_topic: str
    dead_letter_topic: str
    max_batch: int = MAX_BATCH
    max_dead_letter_bytes: int = 900_000


@dataclass
class Counts:
    """What the loop has done so far."""

    predictions: int = 0
    dead_letters: int = 0


class Service:
    """Answers requests until told to stop, in order for each key; `delivery` is the guarantee."""

    def __init__(self, source: Source, delivery: Delivery, model: Model, options: Options) -> None:
        self.counts = Counts()
        self._source = source
        self._delivery = delivery
        self._model = model
        self._encoder = PredictionEncoder(model.contract, model.sha256)
        self._options = options
        self._rejections = Rejections()
        self._max_batch = min(options.max_batch, model.max_batch or options.max_batch)
        self._read_limit = self._max_batch

    def run(self, stop: threading.Event) -> None:
        """The loop; raises EdgeError when it cannot go on."""
        while not stop.is_set():
            self._delivery.settle()
            self._rejections.tell()
            self._source.pause(self._delivery.is_full)
            records = self._source.read(self._read_limit, self._delivery.patience_s)
            if records:
                started = time.monotonic()
                self._answer(records)
                self._pace(len(records), time.monotonic() - started)
        self._rejections.tell(is_last=True)

    def _answer(self, records: Sequence[Record]) -> None:
        polled, received_ns = time.monotonic(), time.time_ns()
        ticket = self._delivery.track(records)
        requests = self._admit(ticket, records)
        if not requests:
            return
        started = time.monotonic()
        probabilities = self._model.infer(stacked(requests, self._model.contract))
        queue_ms, infer_ms = (started - polled) * 1000, (time.monotonic() - started) * 1000
        timing = Timing(received_ns, time.time_ns(), queue_ms, infer_ms, len(requests))
        requests, probabilities = self._finite(ticket, requests, probabilities)
        classes, confidences = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
        answers = self._encoder.encode(requests, classes, confidences, timing)
        if answers:
            self._delivery.write(ticket, self._options.prediction_topic, answers)
            self.counts.predictions += len(answers)

    def _admit(self, ticket: Ticket, records: Iterable[Record]) -> list[Request]:
        requests = []
        for record in records:
            try:
                requests.append(decode_request(record, self._model.contract))
            except BadRequestError as error:
                self._reject(ticket, record, error)
        return requests

    def _finite(
        self, ticket: Ticket, requests: list[Request], probabilities: npt.NDArray[np.float32]
    ) -> tuple[list[Request], npt.NDArray[np.float32]]:
        """Those requests to which the model has an answer; the others are rejected."""
        is_finite = np.isfinite(probabilities).all(axis=1)
        if is_finite.all():
            return requests, probabilities
        for index in np.flatnonzero(~is_finite).tolist():
            self._reject(ticket, requests[index].record, BadRequestError("the model's output is not finite"))
        return [requests[index] for index in np.flatnonzero(is_finite).tolist()], probabilities[is_finite]

    def _reject(self, ticket: Ticket, record: Record, error: BadRequestError) -> None:
        self._rejections.note(record, error)
        encoded = encode_dead_letter(record, error, self._options.max_dead_letter_bytes)
        self._delivery.write(ticket, self._options.dead_letter_topic, [encoded])
        self.counts.dead_letters += 1

    def _pace(self, count: int, took_s: float) -> None:
        """Read next time what can be answered in TURN_S, as measured on this turn: a slow model takes few."""
        self._read_limit = max(1, min(self._max_batch, int(count * TURN_S / max(took_s, 1e-6))))
