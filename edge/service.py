"""The classifier's loop: read, decode, infer, write; whatever a poll returned is a batch."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.codec import Prediction, Request, decode_request, encode_dead_letter, encode_prediction
from edge.delivery import Delivery
from edge.errors import BadRequestError
from edge.model import Model
from edge.progress import Ticket
from edge.records import Record, Source
from edge.rejections import Rejections

READ_LIMIT = 100
"""Few enough that what a crash repeats stays small, and commits are in time, while a backlog is worked off."""
TURN_S = 2.0
"""How long one turn of the loop may take: until it ends nothing is committed, and no signal is heard."""


@dataclass(frozen=True)
class Options:
    """Where answers go, and their bounds."""

    prediction_topic: str
    dead_letter_topic: str
    max_batch: int = 64
    max_dead_letter_bytes: int = 900_000


@dataclass
class Counts:
    """What the loop has done so far."""

    predictions: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class _Item:
    ticket: Ticket
    record: Record
    request: Request


class Service:
    """Answers requests until told to stop, in order for each key; `delivery` is the guarantee."""

    def __init__(self, source: Source, delivery: Delivery, model: Model, options: Options) -> None:
        self.counts = Counts()
        self._source = source
        self._delivery = delivery
        self._model = model
        self._options = options
        self._rejections = Rejections()
        self._max_batch = min(options.max_batch, model.max_batch or options.max_batch)
        self._most = max(READ_LIMIT, self._max_batch)
        self._read_limit = self._max_batch

    def run(self, stop: threading.Event) -> None:
        """The loop; raises EdgeError when it cannot go on."""
        while not stop.is_set():
            self._delivery.settle()
            self._rejections.tell()
            self._source.pause(self._delivery.is_full)
            records = self._source.read(self._read_limit, self._delivery.patience_s)
            polled, received_ns = time.monotonic(), time.time_ns()
            tickets = self._delivery.track(records)
            for start in range(0, len(records), self._max_batch):
                batch = slice(start, start + self._max_batch)
                items = self._admit(records[batch], tickets[batch])
                self._answer(items, polled, received_ns)
            if records:
                self._pace(len(records), time.monotonic() - polled)
        self._rejections.tell(is_last=True)

    def _pace(self, count: int, took_s: float) -> None:
        """Read next time what can be answered in TURN_S, as measured on this turn: a slow model takes few."""
        self._read_limit = max(1, min(self._most, int(count * TURN_S / max(took_s, 1e-6))))

    def _admit(self, records: list[Record], tickets: list[Ticket]) -> list[_Item]:
        items = []
        for record, ticket in zip(records, tickets, strict=True):
            try:
                items.append(_Item(ticket, record, decode_request(record, self._model.contract)))
            except BadRequestError as error:
                self._reject(ticket, record, error)
        return items

    def _answer(self, items: list[_Item], polled: float, received_ns: int) -> None:
        if not items:
            return
        started = time.monotonic()
        probabilities = self._infer(items)
        infer_ms = (time.monotonic() - started) * 1000
        queue_ms = (started - polled) * 1000
        sent_ns = time.time_ns()
        for item, row, is_finite in zip(items, probabilities, np.isfinite(probabilities).all(axis=1), strict=True):
            if not is_finite:
                self._reject(item.ticket, item.record, BadRequestError("the model's output is not finite"))
                continue
            prediction = self._prediction(item.request.id, row, queue_ms, infer_ms, len(items))
            encoded = encode_prediction(prediction, item.record.key, item.request.headers, received_ns, sent_ns)
            self._delivery.write(item.ticket, self._options.prediction_topic, encoded)
            self.counts.predictions += 1

    def _infer(self, items: list[_Item]) -> npt.NDArray[Any]:
        contract = self._model.contract
        images = np.empty((len(items), *contract.shape), contract.dtype)
        for index, item in enumerate(items):
            images[index] = item.request.image
        return self._model.infer(images)

    def _prediction(
        self, request_id: str, row: npt.NDArray[Any], queue_ms: float, infer_ms: float, batch: int
    ) -> Prediction:
        best = int(row.argmax())
        contract = self._model.contract
        return Prediction(
            id=request_id,
            class_index=best,
            label=contract.labels[best],
            confidence=float(row[best]),
            model=contract.name,
            sha256=self._model.sha256,
            queue_ms=queue_ms,
            infer_ms=infer_ms,
            batch=batch,
        )

    def _reject(self, ticket: Ticket, record: Record, error: BadRequestError) -> None:
        self._rejections.note(record, error)
        encoded = encode_dead_letter(record, error, self._options.max_dead_letter_bytes)
        self._delivery.write(ticket, self._options.dead_letter_topic, encoded)
        self.counts.dead_letters += 1
