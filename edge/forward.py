"""Sends what a spool holds, beside the sensing: in order, many at a time, for as long as it takes."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from edge.errors import BrokerUnavailableError, EdgeError, StoppedError, is_fatal
from edge.outage import Outage, Retry
from edge.pubsub import LOOK_S, SILENCE_S, STOP_TIMEOUT_S
from edge.records import Client, Sink
from edge.sensed import Encode
from edge.spool import Spool

log = logging.getLogger(__name__)

WRITE_IMAGES, WRITE_BYTES = 64, 256 * 1024
"""So many images are one write."""
FLIGHT_IMAGES, FLIGHT_BYTES = 512, 8 * 1024 * 1024
"""So much may be on its way to the broker: what a crash repeats at worst, beside what is to be deleted."""
DELETE_IMAGES, DELETE_S = 128, 1.0
"""So many that have arrived, or after so long, are deleted at once: each time is a commit on the disk."""
_AGAIN_S = 0.1
"""A disk that lets nothing be deleted is asked again so soon."""

Connect = Callable[[threading.Event], Client]
"""Makes a client, and the topic, or raises at once as `pubsub.connect` does; the event ends the connecting."""


class Forwarder:
    """A thread that empties a spool.

    At least once: an image is deleted after its acknowledgement; a crash repeats those in between, with the same ids.
    While no broker answers it says so once, and tries again every few seconds.
    """

    def __init__(self, spool: Spool, connect: Connect, topic: str, encode: Encode) -> None:
        self.error: Exception | None = None
        self._spool = spool
        self._connect = connect
        self._topic = topic
        self._encode = encode
        self._client: Client | None = None
        self._sink: Sink | None = None
        self._ending, self._aborting = threading.Event(), threading.Event()
        self._changed, self._has_news = threading.Condition(), False
        self._flying: dict[int, int] = {}
        self._arrived: list[int] = []
        self._failure: Exception | None = None
        self._is_draining = False
        self._last_arrival = self._next_delete = self._next_look = 0.0
        self._retry = Retry()
        self._outage = Outage(
            "Kafka takes no images, which stay in the spool", "images go from the spool to Kafka again"
        )
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """There is one more image in the spool."""
        with self._changed:
            self._tell()

    def drain(self, patience_s: float, stop: threading.Event) -> None:
        """Return when the spool is empty, when nothing has arrived for `patience_s`, or when told to stop."""
        with self._changed:
            self._is_draining = True
            self._tell()
        deadline, left = time.monotonic() + patience_s, self._spool.left
        while self._spool.left and not stop.wait(0.05) and self.error is None and time.monotonic() < deadline:
            if self._spool.left < left:
                deadline, left = time.monotonic() + patience_s, self._spool.left

    def close(self) -> bool:
        """Wait a moment for what is on its way, and end; False when a broker holds that up for too long."""
        self._ending.set()
        self.poke()
        self._thread.join(STOP_TIMEOUT_S if self._outage.duration_s == 0.0 else 0.1)
        self._aborting.set()
        self.poke()
        self._thread.join(STOP_TIMEOUT_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                try:
                    self._session()
                except BrokerUnavailableError as error:
                    self._outage.note(True, error)
                    self._retry.failed()
                    self._ending.wait(self._retry.wait_s)
        except StoppedError:
            log.debug("stopped while connecting")
        except EdgeError as error:
            self.error = error
        except Exception as error:
            log.exception("sending from the spool failed")
            self.error = error

    def _session(self) -> None:
        """Send with one producer until told to end; raises what the broker, or its absence, has to say."""
        self._client = self._client or self._connect(self._ending)
        sink = self._sink = self._client.open_sink()
        if not self._spool.left:
            self._outage.note(False)
        patience_s = 0.0
        try:
            self._send(sink, self._client)
            patience_s = 1.0
        finally:
            sink.close(patience_s)
            with self._changed:
                self._sink, self._flying, self._failure = None, {}, None
            self._delete(is_last=True)
            self._spool.give_back()

    def _send(self, sink: Sink, client: Client) -> None:
        while not self._aborting.is_set():
            self._delete()
            with self._changed:
                self._has_news = False
                if self._failure is not None:
                    raise self._failure
                if self._ending.is_set() and not self._flying:
                    return
                images = FLIGHT_IMAGES - len(self._flying)
                size = FLIGHT_BYTES - sum(self._flying.values())
            is_sent = not self._ending.is_set() and images > 0 < size and self._write(sink, images, size)
            self._listen(client)
            with self._changed:
                if not is_sent and not self._has_news:
                    self._changed.wait(self._patience_s)

    @property
    def _patience_s(self) -> float | None:
        """How long nothing has to be done, unless there is news; None without end."""
        if not self._arrived and not self._flying:
            return None
        due = self._next_delete if self._arrived else max(self._last_arrival + SILENCE_S, self._next_look)
        return max(0.0, due - time.monotonic())

    def _write(self, sink: Sink, images: int, size: int) -> bool:
        """Start to write the next images; False when there are none."""
        taken = self._spool.take(min(images, WRITE_IMAGES), min(size, WRITE_BYTES))
        if not taken:
            return False
        numbers = [number for number, _ in taken]
        with self._changed:
            if not self._flying:
                self._last_arrival = time.monotonic()
            self._flying.update((number, len(image.value)) for number, image in taken)
        sink.write_all(self._topic, [self._encode(image) for _, image in taken], partial(self._on_done, sink, numbers))
        return True

    def _on_done(self, sink: Sink, numbers: list[int], error: Exception | None) -> None:
        with self._changed:
            if error is None:
                # Whichever producer wrote them, the broker has them.
                self._arrived += numbers
                self._last_arrival = time.monotonic()
            elif sink is self._sink:
                self._failure = self._failure or error
            else:
                return
            for number in numbers:
                self._flying.pop(number, None)
            self._tell()

    def _tell(self) -> None:
        self._has_news = True
        self._changed.notify_all()

    def _delete(self, is_last: bool = False) -> None:
        """Let go of what has arrived, when that is much or some time ago; once more when the disk does not let us."""
        with self._changed:
            arrived = self._arrived
            is_much = len(arrived) >= DELETE_IMAGES or time.monotonic() >= self._next_delete
            if not arrived or not (is_much or self._is_draining or is_last):
                return
            self._arrived = []
        self._next_delete = time.monotonic() + DELETE_S
        if self._spool.delete(arrived):
            self._outage.note(False)
            self._retry.succeeded()
        else:
            with self._changed:
                self._arrived = arrived + self._arrived
            self._aborting.wait(_AGAIN_S)

    def _listen(self, client: Client) -> None:
        """Say so when nothing arrives for long; raises EdgeError when no waiting mends it."""
        with self._changed:
            is_silent = bool(self._flying) and time.monotonic() - self._last_arrival >= SILENCE_S
        if is_silent and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_S
            fault = client.find_fault()
            if is_fatal(fault):
                raise fault
            self._outage.note(True, fault or "no acknowledgement")
