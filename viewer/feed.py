"""Reads the three topics on threads of their own, and puts what the page shows onto the board."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edge.codec import TRUE_LABEL, header
from edge.contract import Contract
from edge.errors import StoppedError
from edge.records import Client, Record
from viewer.board import Board, Budget
from viewer.joined import Answer, Join, Rejected
from viewer.mine import Mine
from viewer.picture import picture
from viewer.rates import LastMinute
from viewer.tail import Ends, Tail
from viewer.timing import STAGES, timing

LAST_REQUESTS, LAST_PREDICTIONS, LAST_DEAD_LETTERS = 500, 24, 8
"""With so many of each partition a page begins."""
PINNED_PER_S, DEAD_LETTERS_PER_S, OLD_PER_S = 5.0, 5.0, 100.0
MAX_TEXT = 200
"""Characters of a label, key or reason that are shown."""
_READ_S, _BEAT_S, _JOIN_S, _WATCH_S = 0.5, 1.0, 0.1, 2.0


@dataclass(frozen=True)
class Topics:
    """What is read."""

    requests: str
    predictions: str
    dead_letters: str


@dataclass(frozen=True)
class Choice:
    """How many predictions are shown a second, and which of them are pinned since their confidence is low."""

    per_second: float
    unsure_below: float


class Feed:
    """Everything between the topics and the board; `failure` is why it ended, None while it goes on."""

    def __init__(
        self,
        client: Client,
        ends: Ends,
        topics: Topics,
        contract: Contract,
        choice: Choice,
        board: Board,
        stop: threading.Event,
    ) -> None:
        self.mine = Mine()
        self.failure: BaseException | None = None
        self._client = client
        self._ends = ends
        self._topics = topics
        self._contract = contract
        self._choice = choice
        self._board = board
        self._stop = stop
        self._lock = threading.Lock()
        self._join = Join()
        self._minute = LastMinute()
        self._sample = Budget(choice.per_second)
        # What was there before must not take the place of what comes.
        self._old = Budget(OLD_PER_S)
        self._pins = Budget(PINNED_PER_S)
        self._letters = Budget(DEAD_LETTERS_PER_S)
        self._tails: list[Tail] = []
        self._total = self._dead = 0
        self._fault: str | None = None
        works = (
            lambda: self._follow(topics.requests, LAST_REQUESTS, self._on_request),
            lambda: self._follow(topics.predictions, LAST_PREDICTIONS, self._on_prediction),
            lambda: self._follow(topics.dead_letters, LAST_DEAD_LETTERS, self._on_dead_letter),
            self._beat,
        )
        self._threads = [threading.Thread(target=self._guarded, args=[work], daemon=True) for work in works]
        # Nobody waits for this one: it may be waiting for a broker that does not answer.
        self._watcher = threading.Thread(target=self._guarded, args=[self._watch], daemon=True)

    def start(self) -> None:
        """Begin to read."""
        for thread in (*self._threads, self._watcher):
            thread.start()

    def join(self) -> None:
        """Wait for the end, which `stop` brings about, and leave the groups."""
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except StoppedError:
            pass
        except BaseException as error:
            self.failure = self.failure or error
            self._stop.set()

    def _follow(self, topic: str, last: int, handle: Callable[[Record, bool], None]) -> None:
        tail = Tail(self._client, self._ends, topic, last)
        self._tails.append(tail)
        try:
            while not self._stop.is_set():
                records = tail.read(_READ_S)
                with self._lock:
                    for record in records:
                        handle(record, tail.is_old(record))
        finally:
            tail.close()

    def _on_request(self, record: Record, is_old: bool) -> None:
        if (answer := self._join.request(record, time.monotonic(), is_old)) is not None:
            self._answered(answer)

    def _on_prediction(self, record: Record, is_old: bool) -> None:
        answer = self._join.prediction(record, time.monotonic(), None if is_old else time.time_ns())
        if answer is not None:
            self._answered(answer)

    def _on_dead_letter(self, record: Record, is_old: bool) -> None:
        rejected = self._join.dead_letter(record)
        self._dead += not is_old
        if self._letters.takes(time.monotonic()) or rejected.id in self.mine:
            self._board.put("dead", _rejection(rejected, rejected.id in self.mine))

    def _answered(self, answer: Answer) -> None:
        prediction, times = answer.prediction, timing(answer)
        true_label = header(answer.record, TRUE_LABEL)
        is_right = None if true_label is None else prediction.is_right(true_label)
        stages = [(name, getattr(times, name)) for name in STAGES]
        now, is_mine = time.monotonic(), prediction.id in self.mine
        if answer.seen_ns is not None:
            self._total += 1
            label, model = prediction.label[:MAX_TEXT], (prediction.model[:MAX_TEXT], prediction.sha256[:12])
            self._minute.add(now, label, _key(answer.record), model, is_right, times.total_ms, stages)
        is_pinned = is_right is False or prediction.confidence < self._choice.unsure_below
        is_sampled = (self._old if answer.seen_ns is None else self._sample).takes(now)
        if not (is_mine or is_sampled or (is_pinned and self._pins.takes(now))):
            return
        self._minute.show(now)
        image = None if answer.request is None else picture(answer.request, self._contract)
        self._board.put(
            "prediction",
            {
                "id": prediction.id[:MAX_TEXT],
                "device": _key(answer.record),
                "label": prediction.label[:MAX_TEXT],
                "confidence": prediction.confidence,
                "truth": None if true_label is None else true_label[:MAX_TEXT],
                "right": is_right,
                "model": prediction.model[:MAX_TEXT],
                "sha256": prediction.sha256[:12],
                "batch": prediction.batch,
                "place": f"{answer.record.partition.topic}-{answer.record.partition.number}-{answer.record.offset}",
                "at": answer.record.timestamp_ms,
                "mine": is_mine,
                "image": image,
                **asdict(times),
            },
        )

    def _beat(self) -> None:
        """Once a second, the figures; far more often, what has waited in vain."""
        next_figures = time.monotonic()
        while not self._stop.wait(_JOIN_S):
            with self._lock:
                for answer in self._join.due(time.monotonic()):
                    self._answered(answer)
                if time.monotonic() >= next_figures:
                    next_figures += _BEAT_S
                    self._board.put("figures", self._figures())

    def _figures(self) -> dict[str, Any]:
        counts = self._join.counts
        return {
            **self._minute.summary(time.monotonic()),
            "total": self._total,
            "dead": self._dead,
            "waiting": self._join.waiting,
            "forgotten": counts.forgotten,
            "repeated": counts.repeated,
            "unreadable": counts.unreadable,
            "skipped": sum(tail.skipped for tail in self._tails),
            "fault": self._fault,
        }

    def _watch(self) -> None:
        """Ask now and then whether Kafka can be used."""
        while not self._stop.wait(_WATCH_S):
            fault = self._client.find_fault()
            self._fault = None if fault is None else fault.message


def _rejection(rejected: Rejected, is_mine: bool) -> dict[str, Any]:
    letter = rejected.letter
    return {
        "id": rejected.id[:MAX_TEXT],
        "device": _key(letter.record),
        "reason": letter.reason[:MAX_TEXT],
        "origin": letter.origin[:MAX_TEXT],
        "place": letter.id,
        "bytes": letter.value_bytes,
        "at": int(letter.time.timestamp() * 1000),
        "mine": is_mine,
    }


def _key(record: Record) -> str:
    return "" if record.key is None else record.key[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT]
