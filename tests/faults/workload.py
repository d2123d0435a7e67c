"""Numbered questions with known answers, poison among them, and the sender who notes what was acknowledged."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import Producer

from edge.images import Images
from edge.model import Model
from tests.faults.history import Expected, Question

POISON: Mapping[str, tuple[bytes | None, tuple[tuple[str, bytes], ...]]] = {
    "one byte too few": (bytes(783), ()),
    "no bytes": (b"", ()),
    "no value": (None, ()),
    "no image's type": (bytes(784), (("content-type", b"image/png"),)),
    "no npy": (b"\x93NUMPY\x01\x00\xff\xff{", (("content-type", b"application/x-npy"),)),
    "no JSON": (b'{"image": [', (("content-type", b"application/json"),)),
    "deep JSON": (b"[" * 20_000, (("content-type", b"application/json"),)),
    "an id that is no text": (bytes(784), (("request-id", b"\xff\xfe"),)),
    "two ids": (bytes(784), (("request-id", b"a"), ("request-id", b"b"))),
}
FLUSH_S = 180.0


def questions(images: Images, model: Model, count: int, *, keys: int, poison: int, seed: int) -> dict[int, Question]:
    """`count` questions by number, over `keys` devices; `poison` of them, at seeded places, cannot be answered."""
    generator = random.Random(f"{seed}-questions")
    answers = [_expected(model, image) for image in images.image]
    spoiled = dict(zip(generator.sample(range(count), poison), _cycle(sorted(POISON), poison), strict=True))
    found = {}
    for number in range(count):
        key = f"device-{generator.randrange(keys)}".encode()
        if number in spoiled:
            value, headers = POISON[spoiled[number]]
            found[number] = Question(number, key, value, (), headers, None)
        else:
            index = generator.randrange(len(answers))
            copied = _copied(number, images.true_label(index) or "")
            found[number] = Question(number, key, images.image[index].tobytes(), copied, (), answers[index])
    return found


class Sender:
    """Sends each question when it is due, by a schedule fixed before; `acknowledged` are those that the broker has."""

    def __init__(self, bootstrap_servers: str, topic: str, asked: Sequence[Question], rate_per_s: float) -> None:
        self.acknowledged: set[int] = set()
        self.errors: list[str] = []
        self.sent = 0
        self._topic = topic
        self._asked = asked
        self._rate_per_s = rate_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, name="sender", daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 1,
                "queue.buffering.max.messages": 1_000_000,
                "message.timeout.ms": int(FLUSH_S * 1000),
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )

    @property
    def is_done(self) -> bool:
        """Whether all were sent, and each has its acknowledgement or its error."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Send from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        started = time.monotonic()
        for count, question in enumerate(self._asked):
            while (left := started + count / self._rate_per_s - time.monotonic()) > 0:
                self._producer.poll(min(left, 0.01))
            if self._stop.is_set():
                return
            self._producer.produce(
                self._topic,
                question.value,
                question.key,
                headers=list(question.headers),
                on_delivery=partial(self._on_delivery, question.number),
            )
            self.sent += 1
        while len(self._producer) and not self._stop.is_set():
            self._producer.poll(0.05)

    def _on_delivery(self, number: int, error: Any, _: Any) -> None:
        if error is None:
            self.acknowledged.add(number)
        else:
            self.errors.append(f"{number}: {error}")


def _expected(model: Model, image: Any) -> Expected:
    (row,) = model.infer(image.reshape(1, *model.contract.shape))
    return Expected(int(row.argmax()), float(row.max()))


def _copied(number: int, true_label: str) -> tuple[tuple[str, bytes], ...]:
    return (
        ("request-id", str(number).encode()),
        ("created-ns", str(time.time_ns()).encode()),
        ("true-label", true_label.encode()),
        ("traceparent", f"00-{number + 1:032x}-{number + 1:016x}-01".encode()),
        ("ce_source", b"tests.faults"),
    )


def _cycle(names: list[str], count: int) -> list[str]:
    return [names[index % len(names)] for index in range(count)]
