"""The classifier's loop: read, decode, infer, write; whatever a poll returned is a batch."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.codec import Request, Timing, decode_request, stacked
from edge.delivery import Delivery
from edge.errors import BadRequestError
from edge.hooks import Answers, Hooks, Served
from edge.inference import Inferred, infer
from edge.letter import encode_dead_letter
from edge.progress import Ticket
from edge.records import Record, Source
from edge.rejections import Rejections

MAX_BATCH = 64
"""What is read and answered at once: more saves little, and makes all that it takes later."""
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


@dataclass
class _Batch:
    """What was read at once; `inferred` is there when its inference goes on beside the loop."""

    served: Served
    ticket: Ticket
    polled: float
    received_ns: int
    requests: list[Request]
    inferred: Future[Inferred] | None = None


class Service:
    """Answers requests until told to stop, in order for each key; `delivery` is the guarantee."""

    def __init__(self, source: Source, delivery: Delivery, hooks: Hooks, options: Options) -> None:
        self.counts = Counts()
        self._source = source
        self._delivery = delivery
        self._hooks = hooks
        self._options = options
        self._rejections = Rejections()
        self._read_limit = options.max_batch
        self._beside = ThreadPoolExecutor(1, "inference")
        self._last: _Batch | None = None
        self._served: Served | None = None

    def run(self, stop: threading.Event) -> None:
        """The loop; raises EdgeError when it cannot go on."""
        try:
            while not stop.is_set():
                self._delivery.settle()
                self._rejections.tell()
                self._source.pause(self._is_full())
                records = self._source.read(self._read_limit, 0.0 if self._last else self._delivery.patience_s)
                started = time.monotonic()
                self._answer(records, self._model())
                self._hooks.observer.turned()
                if records:
                    self._pace(len(records), time.monotonic() - started)
        finally:
            self._finish()
            self._rejections.tell(is_last=True)

    def _is_full(self) -> bool:
        """Whether nothing more should be read: what is not written yet is not the reason."""
        if self._delivery.is_full:
            self._finish()
        return self._delivery.is_full

    def _model(self) -> Served:
        """What answers next; before another takes over, the answers of the one before are written."""
        served = self._hooks.model()
        if served is not self._served:
            self._finish()
            self._hooks.observer.loaded(served)
            self._served = served
        return served

    def _answer(self, records: Sequence[Record], served: Served) -> None:
        """While there is a backlog, a batch is inferred beside the loop, which meanwhile writes the last one."""
        batch = self._admit(records, served) if records else None
        is_beside = batch is not None and bool(batch.requests) and self._source.is_ahead and self._delivery.overlaps
        if batch is not None and is_beside:
            batch.inferred = self._beside.submit(self._infer, batch)
        self._finish()
        self._last = batch
        if not is_beside:
            self._finish()

    def _admit(self, records: Sequence[Record], served: Served) -> _Batch:
        batch = _Batch(served, self._delivery.track(records), time.monotonic(), time.time_ns(), [])
        admit, contract = self._hooks.admit, served.model.contract
        for record in records:
            try:
                admit(record)
                batch.requests.append(decode_request(record, contract))
            except BadRequestError as error:
                self._reject(batch.ticket, record, error)
        return batch

    def _infer(self, batch: _Batch) -> Inferred:
        model = batch.served.model
        return infer(model, stacked(batch.requests, model.contract))

    def _finish(self) -> None:
        """Write the answers of the last batch, unless that is done."""
        batch, self._last = self._last, None
        if batch is None or not batch.requests:
            return
        inferred = self._infer(batch) if batch.inferred is None else batch.inferred.result()
        queue_ms, infer_ms = (inferred.started - batch.polled) * 1000, (inferred.ended - inferred.started) * 1000
        timing = Timing(batch.received_ns, time.time_ns(), queue_ms, infer_ms, len(batch.requests))
        requests, probabilities = self._answered(batch.ticket, batch.requests, inferred)
        classes, confidences = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
        answers = Answers(batch.served, requests, classes, confidences, timing)
        for topic, records in self._hooks.emit(answers):
            self._delivery.write(batch.ticket, topic, records, is_beside=True)
        encoded = batch.served.encoder.encode(requests, classes, confidences, timing)
        if encoded:
            self._delivery.write(batch.ticket, self._options.prediction_topic, encoded)
            self._hooks.observer.answered(answers)
            self.counts.predictions += len(encoded)

    def _answered(
        self, ticket: Ticket, requests: list[Request], inferred: Inferred
    ) -> tuple[list[Request], npt.NDArray[np.float32]]:
        """Those requests to which the model has an answer; the others are rejected."""
        if not inferred.failures:
            return requests, inferred.probabilities
        for index, error in sorted(inferred.failures.items()):
            self._reject(ticket, requests[index].record, error)
        kept = [index for index in range(len(requests)) if index not in inferred.failures]
        return [requests[index] for index in kept], inferred.probabilities[kept]

    def _reject(self, ticket: Ticket, record: Record, error: BadRequestError) -> None:
        self._rejections.note(record, error)
        self._hooks.observer.rejected(record, error)
        encoded = encode_dead_letter(record, error, self._options.max_dead_letter_bytes)
        self._delivery.write(ticket, self._options.dead_letter_topic, [encoded])
        self.counts.dead_letters += 1

    def _pace(self, count: int, took_s: float) -> None:
        """Read next time what can be answered in TURN_S, as measured on this turn: a slow model takes few."""
        self._read_limit = max(1, min(self._options.max_batch, int(count * TURN_S / max(took_s, 1e-6))))
