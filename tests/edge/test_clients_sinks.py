"""What a sink promises, with and without transactions, kept by every client: in memory, kafka-python and confluent."""

from collections.abc import Iterator, Mapping

import pytest

from edge.errors import ConfigurationError, FencedError
from edge.records import Partition, TransactionalSink
from tests.edge.clients import Bench, benches, every_client, numbered, read, real_clients, values
from tests.system.processes import wait_until


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from benches(request)


@real_clients
def test_a_record_that_is_too_large_fails_alone_and_for_good(bench: Bench) -> None:
    bench.client.create_topic(f"{bench.topic}-small", 1, {"max.message.bytes": "1000"})
    sink, settled = bench.client.open_sink(), list[Exception | None]()
    for topic, size in ((bench.topic, 100), (bench.topic, 2_000_000), (f"{bench.topic}-small", 2_000)):
        sink.write(topic, bytes(size), None, [], settled.append)
    wait_until(lambda: len(settled) == 3, "all outcomes")
    sink.close(1.0)
    assert {type(error) for error in settled} == {type(None), ConfigurationError}
    assert all("larger than the broker or the topic allows" in str(error) for error in settled if error)


def commit(sink: TransactionalSink, offsets: Mapping[Partition, int], membership: object) -> Exception | None:
    """Commit a transaction and wait for the outcome."""
    settled: list[Exception | None] = []
    sink.commit(offsets, membership, settled.append)
    wait_until(lambda: bool(settled), "the outcome")
    return settled[0]


@every_client
def test_a_transaction_is_seen_whole_with_its_offsets_or_never(bench: Bench) -> None:
    out = f"{bench.topic}-out"
    bench.client.create_topic(out, 1, {})
    bench.write(*numbered(10))
    source = bench.source()
    read(source, 10)
    sink = bench.client.open_transactional_sink(bench.topic)
    settled: list[Exception | None] = []

    def write(*some: bytes) -> None:
        settled.clear()
        for value in some:
            sink.write(out, value, None, [], settled.append)
        wait_until(lambda: len(settled) == len(some), "the acknowledgements")

    sink.begin()
    write(b"a", b"b")
    assert list(bench.client.scan(out)) == []
    assert commit(sink, {bench.partition: 4}, source.membership) is None
    wait_until(lambda: values(list(bench.client.scan(out))) == [b"a", b"b"], "what is committed")
    sink.begin()
    write(b"c")
    sink.close(0.0)
    sink = bench.client.open_transactional_sink(bench.topic)
    sink.begin()
    write(b"d")
    assert commit(sink, {}, source.membership) is None
    wait_until(lambda: values(list(bench.client.scan(out))) == [b"a", b"b", b"d"], "what is committed")
    sink.close(1.0)
    source.rewind_to_committed()
    assert values(read(source, 6)) == numbered(10)[4:]


@real_clients
def test_a_new_sink_of_the_same_name_fences_the_old_one(bench: Bench) -> None:
    source = bench.source()
    old = bench.client.open_transactional_sink(bench.topic)
    old.begin()
    settled: list[Exception | None] = []
    old.write(bench.topic, b"old", None, [], settled.append)
    wait_until(lambda: bool(settled), "the acknowledgement")
    new = bench.client.open_transactional_sink(bench.topic)
    with pytest.raises(FencedError, match="another process runs with the same --instance-id"):
        raise commit(old, {}, source.membership) or AssertionError("the old sink has committed")
    old.close(0.0)
    new.begin()
    new.write(bench.topic, b"new", None, [], settled.append)
    assert commit(new, {}, source.membership) is None
    new.close(1.0)
    wait_until(lambda: values(list(bench.client.scan(bench.topic))) == [b"new"], "what is committed")
