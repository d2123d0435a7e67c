"""Images as they are sensed, each with its id and moment, and where they come from."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge.codec import CONTENT_TYPE, CREATED_NS, REQUEST_ID, TRUE_LABEL
from edge.images import Images
from edge.records import Encoded

MAX_VALUE_BYTES = 1_000_000
"""A Kafka record, with its headers, has 1 MiB unless clients and brokers are told otherwise."""


@dataclass(frozen=True, slots=True)
class Sensed:
    """One image: `created_ns` is when it was sensed, in nanoseconds since 1970, and `key` names the device.

    However often it is written, id and moment stay the same: so a repetition can be recognised.
    """

    id: str
    created_ns: int
    key: bytes | None
    value: bytes
    true_label: str | None = None
    content_type: str | None = None

    def encoded(self) -> Encoded:
        """The request, as it goes over the wire."""
        headers = [(REQUEST_ID, self.id.encode()), (CREATED_NS, str(self.created_ns).encode())]
        if self.true_label is not None:
            headers.append((TRUE_LABEL, self.true_label.encode()))
        if self.content_type is not None:
            headers.append((CONTENT_TYPE, self.content_type.encode()))
        return Encoded(self.key, self.value, headers)


Encode = Callable[[Sensed], Encoded]
"""Makes the request of an image that is about to be sent."""


class ImageSource(Protocol):
    """Where images come from."""

    @property
    def is_lasting(self) -> bool:
        """Whether an image that nobody took comes again."""

    @property
    def broken(self) -> int:
        """How many could not be read so far."""

    def next(self) -> Sensed | None:
        """The next image, None while there is none."""

    def accepted(self, image_id: str) -> None:
        """An image is safe, and need not be kept here."""

    def refused(self, image_id: str) -> None:
        """An image was not taken."""


class Shown:
    """Images of a file over and over, in their order or, with a seed, in a random one."""

    is_lasting = False
    broken = 0

    def __init__(self, images: Images, key: bytes | None, seed: int | None) -> None:
        self._images = images
        self._key = key
        self._order = _order(len(images.image), seed)

    def next(self) -> Sensed:
        """There is always one."""
        index = next(self._order)
        value, label = self._images.image[index].tobytes(), self._images.true_label(index)
        return Sensed(uuid.uuid4().hex, time.time_ns(), self._key, value, label)

    def accepted(self, image_id: str) -> None:
        """Nothing is kept."""

    def refused(self, image_id: str) -> None:
        """It is gone, as it is with a camera."""


def _order(count: int, seed: int | None) -> Iterator[int]:
    generator = None if seed is None else np.random.default_rng(seed)
    while True:
        yield from range(count) if generator is None else map(int, generator.permutation(count))
