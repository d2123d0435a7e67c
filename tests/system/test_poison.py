"""Poison over a real Kafka: records, batches, codecs and a log that cannot be decoded stop nobody.

Each good record is answered, in order, also behind a bad one in its batch, and each bad one is one dead letter.
"""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from edge.images import Images
from edge.pubsub import CLIENTS, connect
from edge.recordbatch import FIRST_OFFSET, LAST_OFFSET, RAW
from edge.records import Record
from localkafka import LocalKafka
from tests.system.fuzz import Plan, fuzz, rss_bytes
from tests.system.processes import Process, wait_until
from tests.system.raw import GZIP, batch, compress, field, fields, produce, record, varint
from tests.system.wire import Wire, wire_on

pytestmark = pytest.mark.kafka

MESSAGE = "__connect.errors.exception.message"


@pytest.fixture
def foreign(wire: Wire) -> Wire:
    """A request topic as somebody else makes one: the broker keeps batches as clients compress them."""
    with connect(wire.servers) as pubsub:
        pubsub.create_topic(wire.requests, 1, {"compression.type": "producer"})
    return wire


def good(delta: int, number: int, image: bytes) -> bytes:
    return record(delta, image, [("request-id", str(number).encode())])


def reason(letter: Record) -> str:
    return (dict(letter.headers)[MESSAGE] or b"").decode()


def classify(wire: Wire, good: int, bad: int, meanwhile: Callable[[Process], None] = lambda _: None) -> list[Record]:
    """Run a classifier until so many records are answered and rejected, each once; returns the dead letters."""
    with Process("edge.classifier", *wire.classifier) as classifier:
        try:
            wait_until(lambda: len(wire.answers()) >= good and len(wire.dead()) >= bad, "each answer and dead letter")
        except AssertionError as error:
            error.add_note(wire.standing())
            raise
        meanwhile(classifier)
        assert classifier.terminate() == 0
    assert "Traceback" not in classifier.log
    assert wire.answers() == [str(number) for number in range(good)]
    assert len(wire.dead()) == bad
    assert left(wire) == 0
    return wire.dead()


def left(wire: Wire) -> int:
    """How many offsets of the only partition the group has not committed."""
    consumer = Consumer({"bootstrap.servers": wire.servers, "group.id": wire.group})
    (committed,) = consumer.committed([TopicPartition(wire.requests, 0)], 30)
    _, end = consumer.get_watermark_offsets(committed, 30)
    consumer.close()
    return end - committed.offset


def test_bad_records_in_hand_made_batches_hide_none_of_their_neighbours(foreign: Wire, samples: Images) -> None:
    image = samples.image[0].tobytes()
    not_utf8 = field(fields(1, image, [(b"\xff\xfe", b"x"), (b"request-id", b"bad")]))
    produce(
        foreign.servers,
        foreign.requests,
        batch([good(0, 0, image), not_utf8, good(2, 1, image)]),
        batch([good(0, 2, image), not_utf8, good(2, 3, image)], GZIP),
        batch([good(0, 4, image), record(900, image), good(2, 5, image)]),
        batch([good(0, 6, image), varint(3) + fields(1, image), good(2, 7, image)], GZIP),
        batch([good(0, 7, image)]),
    )
    first, second, third, rest = classify(foreign, 8, 4)
    for letter, offset in ((first, b"1"), (second, b"4")):
        assert reason(letter) == "the name of the header '\\\\xff\\\\xfe' is not UTF-8"
        assert (letter.key, letter.value) == (b"device", image)
        assert list(letter.headers)[:2] == [("\\xff\\xfe", b"x"), ("request-id", b"bad")]
        assert dict(letter.headers)["__connect.errors.offset"] == offset
    assert reason(third) == "the record says that its offset is 906, where 7 is due"
    assert reason(rest) == "2 records of the batch are broken: a length makes no sense"
    assert rest.value == varint(3) + fields(1, image) + good(2, 7, image)
    found = dict(rest.headers)
    assert (found[RAW], found[FIRST_OFFSET], found[LAST_OFFSET]) == (b"records", b"10", b"11")


def test_batches_that_cannot_be_unpacked_are_one_dead_letter_each(foreign: Wire, samples: Images) -> None:
    image = samples.image[0].tobytes()
    for number, codec in enumerate(("snappy", "lz4", "zstd", "gzip", "none")):
        compress(
            foreign.servers,
            foreign.requests,
            codec,
            [(image, [("request-id", str(max(0, number - 3)).encode())])] * (1, 3)[number < 3],
        )
    bomb = gzip.compress(record(0, bytes(80_000_000)))
    produce(foreign.servers, foreign.requests, batch([b""], GZIP, bomb), batch([good(0, 2, image)]))
    peak: list[int] = []
    dead = classify(foreign, 3, 4, lambda app: peak.append(rss_bytes(app.process.pid, "VmHWM")))
    assert peak[0] < 250 * 1024 * 1024
    for letter, codec in zip(dead, ("snappy", "lz4", "zstd"), strict=False):
        assert f"compressed with {codec}, which is not read here: set compression.type=uncompressed" in reason(letter)
        assert dict(letter.headers)["dead-letter-codec"] == codec.encode()
        assert dict(letter.headers)["dead-letter-record-count"] == b"3"
        assert letter.value is not None
    assert [dict(letter.headers)[LAST_OFFSET] for letter in dead] == [b"2", b"5", b"8", b"11"]
    assert reason(dead[3]) == "the batch unpacks to more than 67,108,864 bytes"
    assert bomb in (dead[3].value or b"")


def test_a_topic_of_our_own_reads_every_codec(wire: Wire, samples: Images) -> None:
    wire.create()
    image = samples.image[0].tobytes()
    for number, codec in enumerate(("snappy", "lz4", "zstd", "gzip")):
        compress(
            wire.servers,
            wire.requests,
            codec,
            [(image, [("request-id", str(3 * number + n).encode())]) for n in range(3)],
        )
    assert classify(wire, 12, 0) == []


def log_file(kafka: LocalKafka, topic: str) -> Path:
    """What partition 0 holds, which the broker sends without a look at the records."""
    return kafka.directory / "data" / f"{topic}-0" / "00000000000000000000.log"


def test_a_batch_that_rots_on_the_brokers_disk_is_one_dead_letter(kafka: LocalKafka, samples: Images) -> None:
    wire = wire_on(kafka)
    wire.create()
    image = samples.image[0].tobytes()
    first, last = (batch([good(0, 2 * n, image), good(1, 2 * n + 1, image)]) for n in (0, 1))
    produce(wire.servers, wire.requests, first, batch([record(0, b"rot"), record(1, image)]), last)
    with log_file(kafka, wire.requests).open("r+b") as log:
        at = log.read().index(b"rot")
        log.seek(at)
        log.write(b"ROT")
    (letter,) = classify(wire, 4, 1)
    assert reason(letter) == "the record batch does not match its CRC"
    assert b"ROT" in (letter.value or b"")
    assert (dict(letter.headers)[FIRST_OFFSET], dict(letter.headers)[LAST_OFFSET]) == (b"2", b"3")


def test_a_log_that_the_broker_cannot_read_stops_one_partition_only(kafka: LocalKafka, samples: Images) -> None:
    wire = wire_on(kafka)
    wire.create(partitions=2)
    image = samples.image[0].tobytes()
    produce(wire.servers, wire.requests, batch([record(0, image)]), batch([record(0, image)]))
    with log_file(kafka, wire.requests).open("r+b") as log:
        log.seek(len(batch([record(0, image)])) + 8)
        log.write(struct.pack(">i", 5))
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: "the broker cannot read its own log there" in classifier.log, "a word about the log")
        produce(wire.servers, wire.requests, batch([good(0, 1, image)]), partition=1)
        wait_until(lambda: "1" in wire.answers(), "the answer from the other partition")
        assert classifier.terminate() == 0
    assert wire.answers() == [f"{wire.requests}-0-0", "1"]
    assert classifier.log.count("the broker cannot read") == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_thousands_of_bad_records_among_hundreds_of_good_ones(
    wire: Wire, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CLIENT", client)
    _, faults = fuzz(wire, Plan(300, 3000, 2))
    assert faults == []
