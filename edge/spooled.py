"""Sensed images go into a spool, and from there to Kafka."""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from edge import logs
from edge.errors import BadDataError, BrokerUnavailableError
from edge.forward import Connect, Forwarder
from edge.outbox import Bounds
from edge.sensed import MAX_VALUE_BYTES, Encode, Sensed
from edge.spool import Spool

log = logging.getLogger(__name__)


class Spooled:
    """An image is safe once it is in the spool, whether or not a broker answers."""

    def __init__(
        self,
        directory: Path,
        bounds: Bounds,
        connect: Connect,
        topic: str,
        patience_s: float,
        stop: threading.Event,
        encode: Encode = Sensed.encoded,
    ) -> None:
        """`patience_s` is how long, at the end, nothing may arrive before what is left stays in the spool.

        Raises: EdgeError as `Spool` does.
        """
        self._spool = Spool(directory, bounds)
        if self._spool.left or self._spool.counts.dropped_ever:
            dropped = self._spool.counts.dropped_ever
            log.info("the spool %s holds %d images, and has dropped %d so far", directory, self._spool.left, dropped)
        self._stop = stop
        self._patience_s = patience_s
        self._stored: deque[str] = deque()
        self._forwarder = Forwarder(self._spool, connect, topic, encode)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread that still waits for a broker ends with the process, and the file's lock with it.
        if self._forwarder.close():
            self._spool.close()
        if error is not None:
            logs.say(self.summary)

    def offer(self, image: Sensed) -> bool:
        """Store an image; raises what has ended the sending for good."""
        self.check()
        if len(image.value) > MAX_VALUE_BYTES:
            raise BadDataError(f"the image has {len(image.value):,} bytes, which is more than a Kafka record holds")
        if not self._spool.put(image):
            return False
        self._stored.append(image.id)
        self._forwarder.poke()
        return True

    def accepted(self) -> Iterator[str]:
        """Ids of the images that were stored since."""
        while self._stored:
            yield self._stored.popleft()

    def check(self) -> None:
        """Raises what has ended the sending for good, such as a password that the broker refuses."""
        if self._forwarder.error is not None:
            raise self._forwarder.error

    def finish(self, is_whole: bool) -> None:
        """Empty the spool if that can be done; not when stopped, since what is in it goes out after the next start."""
        if is_whole:
            self._forwarder.drain(self._patience_s, self._stop)
        self.check()
        if is_whole and self._spool.left and not self._stop.is_set():
            raise BrokerUnavailableError(
                "no broker takes the images that are left in the spool: start again with this --spool when one does"
            )

    @property
    def left(self) -> int:
        """How many the spool holds."""
        return self._spool.left

    @property
    def summary(self) -> str:
        """What became of the images."""
        counts = self._spool.counts
        earlier = f" ({counts.dropped_ever} since the spool was made)" if counts.dropped_ever > counts.dropped else ""
        return (
            f"{counts.stored + counts.refused} images sensed: {counts.stored} stored, {counts.refused} not accepted; "
            f"{counts.sent} sent and acknowledged, {counts.dropped} dropped{earlier}, "
            f"{self._spool.left} left in the spool"
        )
