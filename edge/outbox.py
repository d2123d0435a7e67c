"""Where sensed images go: straight to Kafka here, by way of a spool in `spooled`."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from edge import logs
from edge.errors import EdgeError
from edge.pubsub import PubSub
from edge.sensed import Encode, Sensed

REFUSE, DROP_OLDEST = "refuse", "drop-oldest"


@dataclass(frozen=True)
class Bounds:
    """How much a spool may hold, how long, and what it does with an image for which it has no room.

    `max_bytes` is what its file takes on the disk; SQLite's log beside it takes up to 6 MB more.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_age_s: float | None = None
    when_full: str = REFUSE


class Outbox(Protocol):
    """Takes images, and says which of them are safe."""

    def offer(self, image: Sensed) -> bool:
        """Take an image; False when there is no room. Raises EdgeError when no further one would arrive."""

    def accepted(self) -> Iterator[str]:
        """Ids of images that are safe by now, each once."""

    def check(self) -> None:
        """Raises EdgeError when no further image would arrive, also while none is offered."""

    def finish(self, is_whole: bool) -> None:
        """Wait for what is on its way; `is_whole` when all images were sensed that should be.

        Raises: EdgeError when images did not arrive that should have.
        """

    @property
    def left(self) -> int:
        """How many were taken that Kafka has not acknowledged."""

    @property
    def summary(self) -> str:
        """What became of the images, in one line."""


class Direct:
    """Writes to Kafka: an image is safe once the broker has it."""

    def __init__(self, pubsub: PubSub, topic: str, encode: Encode = Sensed.encoded) -> None:
        self._pubsub = pubsub
        self._topic = topic
        self._encode = encode
        self._written = 0
        self._accepted = 0
        self._acknowledged: deque[str] = deque()

    def offer(self, image: Sensed) -> bool:
        """Start to write an image."""
        key, value, headers = self._encode(image)
        self._pubsub.write(self._topic, value, key, headers, partial(self._acknowledged.append, image.id))
        self._written += 1
        return True

    def accepted(self) -> Iterator[str]:
        """Ids of the images that were acknowledged since."""
        while self._acknowledged:
            image_id = self._acknowledged.popleft()
            self._accepted += 1
            yield image_id

    def check(self) -> None:
        """Raises what a write failed with."""
        self._pubsub.check()

    def finish(self, is_whole: bool) -> None:
        """Wait for the acknowledgements."""
        try:
            self._pubsub.flush()
        except EdgeError:
            logs.say(f"of {self._written} images written, not all were acknowledged")
            raise

    @property
    def left(self) -> int:
        """How many were not acknowledged so far."""
        return self._written - self._accepted - len(self._acknowledged)

    @property
    def summary(self) -> str:
        """How many images there were."""
        return f"{self._written} images sent and acknowledged"
