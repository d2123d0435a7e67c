"""One prediction as the consumer read it, and how it is told: as a line, or as a JSON object."""

import json
import time
from dataclasses import dataclass
from typing import NamedTuple

from edge.codec import CREATED_NS, TRUE_LABEL, Prediction, decode_prediction, header
from edge.logs import printable
from edge.records import Record

NS_DIGITS = 19


@dataclass
class Score:
    """How many predictions were right, of those whose true label is known."""

    right: int = 0
    known: int = 0

    def add(self, prediction: Prediction, true_label: str | None) -> bool | None:
        """Count one; returns whether it was right, None when nobody knows."""
        if true_label is None:
            return None
        is_right = prediction.is_right(true_label)
        self.known += 1
        self.right += is_right
        return is_right

    def __str__(self) -> str:
        return f"accuracy {self.right / self.known:.4f} ({self.right} of {self.known})" if self.known else ""


class Reading(NamedTuple):
    """A prediction; `verdict` says whether it was right, empty when nobody knows, and `score` how often so far.

    `age_ms` is how long ago the image was sensed, by the clocks of its sender and of this device.
    """

    record: Record
    prediction: Prediction
    true_label: str | None
    age_ms: float | None
    verdict: str = ""
    score: str = ""


def read(record: Record, score: Score) -> Reading:
    """The prediction in a record, counted.

    Raises: BadDataError when there is none.
    """
    prediction = decode_prediction(record)
    true_label = header(record, TRUE_LABEL)
    is_right = score.add(prediction, true_label)
    verdict = "" if is_right is None else "right" if is_right else f"wrong, it is {true_label}"
    return Reading(record, prediction, true_label, _age_ms(record), verdict, str(score) if verdict else "")


def to_line(reading: Reading) -> str:
    """One line for people."""
    prediction = reading.prediction
    line = f"{prediction.id[:12]:12}  {prediction.label:<14} {prediction.confidence:7.2%}"
    return printable(f"{line}  {reading.verdict:<26}  {reading.score}" if reading.verdict else line)


def to_json(reading: Reading) -> str:
    """One JSON object for programs, in which nothing can steer a terminal."""
    key = None if reading.record.key is None else reading.record.key.decode("utf-8", "replace")
    own = {"true_label": reading.true_label, "key": key, "age_ms": reading.age_ms}
    document = {**json.loads(reading.record.value or b""), **own}
    text = json.dumps(document, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(document)


def _age_ms(record: Record) -> float | None:
    created = header(record, CREATED_NS) or ""
    is_time = created.isascii() and created.isdecimal() and len(created) <= NS_DIGITS
    return round((time.time_ns() - int(created)) / 1e6, 3) if is_time else None
