"""What a source promises, and who shares one, kept by every client: in memory, kafka-python and confluent."""

import time
from collections.abc import Iterator

import pytest

from edge.confluent_client import ConfluentClient
from edge.errors import ConfigurationError, EdgeError
from edge.kafka_client import KafkaClient
from edge.memory_client import MemoryClient
from edge.records import Headers, Partition, Record
from localkafka import LocalKafka
from tests.edge.clients import (
    CONFLUENT,
    KAFKA_PYTHON,
    MAKERS,
    TURN_S,
    Bench,
    benches,
    every_client,
    numbered,
    read,
    real_clients,
    values,
)
from tests.system.processes import wait_until


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from benches(request)


@every_client
def test_what_is_written_comes_back_as_it_was(bench: Bench) -> None:
    headers: Headers = [("a", b"1"), ("a", b"2"), ("ä", b"\xff\0"), ("empty", b"")]
    sent: list[tuple[bytes | None, bytes | None, Headers]] = [
        (b"value", b"key", headers),
        (None, b"key", []),
        (b"", b"", [("b", b"2")]),
        (b"value", None, []),
    ]
    sink, settled = bench.client.open_sink(), list[Exception | None]()
    before_ms = int(time.time() * 1000)
    for value, key, own in sent:
        sink.write(bench.topic, value, key, own, settled.append)
    wait_until(lambda: len(settled) == len(sent), "the acknowledgements")
    sink.close(1.0)
    records = read(bench.source(), len(sent))
    assert [(r.value, r.key, list(r.headers)) for r in records] == sent
    assert [(r.partition, r.offset, r.flaw) for r in records] == [(bench.partition, n, None) for n in range(4)]
    assert isinstance(bench.client, MemoryClient) or all(r.timestamp_ms >= before_ms for r in records)


@every_client
def test_at_most_as_many_records_as_asked_for_come_in_order(bench: Bench) -> None:
    bench.write(*numbered(100))
    source = bench.source()
    found: list[Record] = []

    def has_all() -> bool:
        turn = source.read(7, TURN_S)
        assert len(turn) <= 7
        found.extend(turn)
        return len(found) == 100

    wait_until(has_all, "all records")
    assert values(found) == numbered(100)


@every_client
def test_what_is_not_committed_is_read_again_and_what_is_committed_is_not(bench: Bench) -> None:
    bench.write(*numbered(20))
    source = bench.source()
    read(source, 20)
    bench.close(source)
    source, settled = bench.source(), list[Exception | None]()
    assert values(read(source, 20)) == numbered(20)
    source.commit({bench.partition: 5}, settled.append)
    wait_until(lambda: bool(settled) or bool(source.read(1, TURN_S)), "the commit")
    assert settled == [None]
    bench.close(source)
    source = bench.source()
    assert values(read(source, 15)) == numbered(20)[5:]
    source.commit_now({bench.partition: 12}, 5.0)
    bench.close(source)
    assert values(read(bench.source(), 8)) == numbered(20)[12:]


@real_clients
def test_a_commit_of_several_partitions_is_answered_in_whichever_order_they_are_named(bench: Bench) -> None:
    topic = f"{bench.topic}-4"
    bench.client.create_topic(topic, 4, {})
    source = bench.source(topic=topic)
    for numbers in ((3, 0, 2, 1), (1,), (2, 3)):
        settled: list[Exception | None] = []
        source.commit({Partition(topic, number): 0 for number in numbers}, settled.append)
        wait_until(lambda: source.read(1, TURN_S) == [] and bool(settled), "the commit")  # noqa: B023 it is over by then
        assert len(settled) == 1


@every_client
def test_after_a_rewind_nothing_comes_that_was_fetched_before_it(bench: Bench) -> None:
    bench.write(*numbered(2000))
    source = bench.source()
    for start in (3, 0, 150, 7):
        read(source, 100)
        source.rewind({bench.partition: start, Partition(bench.topic, 9): 0})
        found = values(read(source, 300))
        assert found == numbered(2000)[start:][: len(found)]
    source.commit_now({bench.partition: 1990}, 5.0)
    source.rewind_to_committed()
    assert values(read(source, 10)) == numbered(2000)[1990:]
    source.check_place()


@every_client
def test_a_pause_keeps_everything_back_and_loses_nothing(bench: Bench) -> None:
    bench.write(*numbered(1000))
    source = bench.source()
    found = read(source, 1, at_once=10)
    # So long that a client that fetches ahead has to stop it, too.
    for turns in (1, 150):
        source.pause(True)
        assert [source.read(10, 0.002) for _ in range(turns)] == [[]] * turns
        source.pause(False)
        found += read(source, 10, at_once=10)
    source.pause(True)
    assert source.read(10, 0.002) == []
    source.rewind({bench.partition: 500})
    source.pause(False)
    assert values(found) == numbered(1000)[: len(found)]
    assert values(read(source, 500)) == numbered(1000)[500:]


@every_client
def test_the_lag_is_what_was_not_read_of_each_assigned_partition(bench: Bench) -> None:
    bench.write(*numbered(50))
    source = bench.source()
    found = read(source, 20, at_once=20)
    source.pause(True)
    wait_until(lambda: not source.read(1, TURN_S) and source.lag == {bench.partition: 50 - len(found)}, "the lag")
    bench.write(*numbered(5))
    source.pause(False)
    found += read(source, 55 - len(found))
    wait_until(lambda: not source.read(1, TURN_S) and source.lag == {bench.partition: 0}, "no lag")
    source.rewind({bench.partition: 10})
    assert values(read(source, 45)) == values(found)[10:]


@real_clients
def test_who_owns_nothing_lags_behind_nothing(bench: Bench) -> None:
    sources = [bench.source(), bench.source()]

    def lags() -> list[dict[Partition, int | None]]:
        return sorted((dict(source.lag) for source in sources if not source.read(1, TURN_S)), key=len)

    # Whose the only partition is may change while they join, so both go on reading.
    wait_until(lambda: lags() == [{}, {bench.partition: 0}], "one that owns the empty partition, and one that does not")


@every_client
def test_what_on_revoked_says_is_committed(bench: Bench) -> None:
    bench.write(*numbered(10))
    source = bench.source(revoked={bench.partition: 6})
    read(source, 10)
    bench.close(source)
    assert values(read(bench.source(), 4)) == numbered(10)[6:]


@every_client
def test_a_scan_finds_what_is_there_and_no_more(bench: Bench) -> None:
    bench.write(*numbered(10))
    assert values(list(bench.client.scan(bench.topic))) == numbered(10)
    assert values(list(bench.client.scan(bench.topic, {bench.partition: 8}))) == [b"8", b"9"]
    with pytest.raises(ConfigurationError, match="there is no topic"):
        list(bench.client.scan("no-such-topic"))


@every_client
def test_a_topic_is_created_once(bench: Bench) -> None:
    assert bench.client.create_topic(f"{bench.topic}-2", 1, {}, "READ") is True
    assert bench.client.create_topic(f"{bench.topic}-2", 1, {}, "WRITE") is False
    assert list(bench.client.scan(f"{bench.topic}-2")) == []


@every_client
def test_a_cluster_that_works_has_no_fault(bench: Bench) -> None:
    assert bench.client.find_fault() is None


PAIRS = [(KAFKA_PYTHON, KAFKA_PYTHON), (CONFLUENT, CONFLUENT), (KAFKA_PYTHON, CONFLUENT)]


@pytest.mark.kafka
@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_two_members_share_the_partitions_and_one_that_leaves_hands_its_own_over(
    kafka: LocalKafka, names: tuple[str, str]
) -> None:
    first, second = (Bench(MAKERS[name](kafka.bootstrap_servers)) for name in names)
    second.topic = first.topic
    first.client.create_topic(first.topic, 2, {})
    sink = first.client.open_sink()
    sources = [first.source(), second.source()]
    owned: list[set[Partition]] = [set(), set()]

    def share() -> bool:
        for number in range(8):
            sink.write(first.topic, b"value", str(number).encode(), [], lambda _: None)
        for partitions, source in zip(owned, sources, strict=True):
            partitions.clear()
            partitions.update(record.partition for record in source.read(100, TURN_S))
        return len(owned[0]) == len(owned[1]) == 1 and owned[0] != owned[1]

    def has_both() -> bool:
        owned[0].update(record.partition for record in sources[0].read(100, TURN_S))
        return len(owned[0]) == 2

    wait_until(share, "one partition for each")
    sources[1].close()
    wait_until(has_both, "both for the one that is left")
    sources[0].close()
    sink.close(1.0)


def test_a_client_that_cannot_connect_says_so() -> None:
    for make in (KafkaClient, ConfluentClient):
        with pytest.raises(EdgeError, match=r"no Kafka broker at 127\.0\.0\.1:1 "):
            make("127.0.0.1:1", None, 0.0)
