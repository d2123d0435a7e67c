"""Tells the log about dead letters without flooding it: the first few of each kind, then how many more there were."""

import logging
import re

from edge.errors import BadRequestError
from edge.logs import place
from edge.records import Record
from edge.tally import INTERVAL_S, Tally

log = logging.getLogger(__name__)

FIRST = 3
MAX_KINDS = 20
_OTHERS = "%(count)d more records went to dead letters, which `python -m edge.deadletter list` prints"

# What differs between two reasons of the same kind: numbers, and whatever a sender wrote.
_PARTICULAR = re.compile(r"'.*'|\".*\"|\(.*\)|\d[\d,.]*")


def kind_of(reason: str) -> str:
    """What reasons of the same kind have in common."""
    return _PARTICULAR.sub("", reason)


class Rejections:
    """Counts dead letters by kind of reason; the reason itself is in each dead letter."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._told: dict[str, int] = {}
        self._others = Tally(_OTHERS, interval_s)

    def note(self, record: Record, error: BadRequestError) -> None:
        """Log one rejected record, or count it for the next summary."""
        kind = kind_of(str(error))
        if kind not in self._told and len(self._told) >= MAX_KINDS:
            kind = "any other"
        told = self._told[kind] = self._told.get(kind, 0) + 1
        if told <= FIRST:
            where = place(record)
            log.warning("%s-%d offset %d goes to dead letters: %s", *where.values(), error, extra=where)
            self._others.hold()
        else:
            self._others.note()

    def tell(self, is_last: bool = False) -> None:
        """Log a summary when one is due."""
        self._others.tell(is_last)
