"""Writes record batches that no client would: any bytes under a right CRC, in Produce requests over a plain socket."""

import gzip
import socket
import struct
import time
from collections.abc import Sequence

from confluent_kafka import Producer
from crc32c import crc32c

from edge.records import Headers

GZIP = 1


def varint(number: int) -> bytes:
    """A zigzag number."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(0x80 | (number & 0x7F))
        number >>= 7
    return bytes([*out, number])


def field(content: bytes | None) -> bytes:
    """Bytes with their length before them."""
    return varint(-1) if content is None else varint(len(content)) + content


def fields(
    delta: int,
    value: bytes | None,
    headers: Sequence[tuple[bytes, bytes | None]] = (),
    key: bytes | None = b"device",
) -> bytes:
    """A record without its length."""
    names = b"".join(field(name) + field(content) for name, content in headers)
    return b"\0" + varint(0) + varint(delta) + field(key) + field(value) + varint(len(headers)) + names


def record(delta: int, value: bytes | None, headers: Headers = (), key: bytes | None = b"device") -> bytes:
    """A whole, sound record."""
    return field(fields(delta, value, [(name.encode(), content) for name, content in headers], key))


def batch(records: Sequence[bytes], codec: int = 0, payload: bytes | None = None, base: int = 0) -> bytes:
    """A batch of records, or of any payload that claims to be so many records."""
    body = b"".join(records) if payload is None else payload
    if codec == GZIP and payload is None:
        body = gzip.compress(body)
    count = len(records)
    tail = struct.pack(">hiqqqhii", codec, count - 1, 1000, 1000, -1, -1, -1, count) + body
    return struct.pack(">qiibI", base, len(tail) + 9, 0, 2, crc32c(tail)) + tail


class Connection:
    """A plain socket to a broker."""

    def __init__(self, servers: str) -> None:
        host, _, port = servers.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def produce(self, topic: str, data: bytes, partition: int = 0) -> int:
        """Write one batch; returns Kafka's error code, 0 when it was taken."""
        deadline = time.monotonic() + 10
        # A new topic has no leader at first.
        while (error := self._produce(topic, data, partition)) in (3, 5, 6) and time.monotonic() < deadline:
            time.sleep(0.05)
        return error

    def _produce(self, topic: str, data: bytes, partition: int) -> int:
        name = topic.encode()
        request = struct.pack(">hhih", 0, 7, 1, -1)
        request += struct.pack(">hhii", -1, -1, 10_000, 1) + struct.pack(">h", len(name)) + name
        request += struct.pack(">iii", 1, partition, len(data)) + data
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._answers.read(4))
        (error,) = struct.unpack_from(">h", self._answers.read(size), 4 + 4 + 2 + len(name) + 4 + 4)
        return int(error)


def produce(servers: str, topic: str, *batches: bytes, partition: int = 0) -> None:
    """Write batches, each of which the broker must take."""
    with Connection(servers) as connection:
        for data in batches:
            error = connection.produce(topic, data, partition)
            assert error == 0, f"the broker refuses a batch with error {error}"


def compress(servers: str, topic: str, codec: str, requests: Sequence[tuple[bytes, Headers]]) -> None:
    """Write one batch as librdkafka compresses it."""
    producer = Producer({"bootstrap.servers": servers, "compression.type": codec, "linger.ms": 200})
    for value, headers in requests:
        producer.produce(topic, value, headers=list(headers), partition=0)
    assert producer.flush(30) == 0
