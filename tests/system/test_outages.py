"""What happens to topics, groups and brokers while the apps run: they go on by themselves, or end and say why."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import kafka as kafka_python
import pytest

from edge.images import Images
from edge.kafka_client import KafkaClient
from edge.records import Partition
from localkafka import LocalKafka
from tests.system.processes import Process, run, wait_until
from tests.system.wire import Wire, requests, wire_on

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalKafka]:
    """One that may be harmed, as long as it is well again at the end of each test."""
    with LocalKafka() as broker:
        yield broker


def assigned(classifier: Process) -> list[str]:
    lines = [line for line in classifier.errors if "partitions assigned" in line]
    return [] if not lines else lines[-1].partition("assigned: ")[2].split(", ")


def test_two_classifiers_share_four_partitions_and_one_takes_over(wire: Wire, samples: Images) -> None:
    wire.create(partitions=4)
    numbered = requests(samples, 2000)
    with Process("edge.classifier", *wire.classifier) as first, Process("edge.classifier", *wire.classifier) as second:
        wait_until(lambda: len(assigned(first)) == 2 and len(assigned(second)) == 2, "two partitions for each")
        wire.send(numbered[:1000], key=lambda n: str(n % 16).encode())
        wait_until(lambda: len(wire.answers()) > 100, "some predictions")
        second.kill()
        wire.send(numbered[1000:], key=lambda n: str(n % 16).encode())
        wait_until(lambda: len(set(wire.answers())) >= 2000, "every prediction")
        assert first.terminate() == 0
    assert {int(answer) for answer in wire.answers()} == set(range(2000))


def test_a_topic_that_is_deleted_and_made_again_ends_the_classifier_and_a_new_start_reads_it(
    wire: Wire, samples: Images
) -> None:
    wire.create()
    wire.send(requests(samples, 20))
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: len(wire.answers()) == 20, "the first predictions")
        admin = kafka_python.KafkaAdminClient(bootstrap_servers=wire.servers)
        admin.delete_topics([wire.requests])
        wait_until(lambda: wire.requests not in admin.list_topics(), "the end of the topic")
        admin.close()
        wire.create()
        wire.send(requests(samples, 30))
        assert classifier.end() == 78
    assert "was deleted and made again" in classifier.errors[-1]
    assert "Traceback" not in classifier.log
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: "partitions assigned: in" in classifier.log, "the new topic's partition")
        wait_until(lambda: len(set(wire.answers())) == 30, "the new topic's predictions")
        assert classifier.terminate() == 0


def assert_three_partitions_are_answered(wire: Wire, samples: Images) -> None:
    admin = kafka_python.KafkaAdminClient(bootstrap_servers=wire.servers)
    admin.create_partitions({wire.requests: 3})
    admin.close()
    wire.send(requests(samples, 60), key=lambda n: str(n).encode())
    wait_until(lambda: len(set(wire.answers())) == 60, "every prediction")


def test_partitions_that_are_added_are_read_from_their_beginning(wire: Wire, samples: Images) -> None:
    wire.create()
    with Process("edge.classifier", *wire.classifier) as classifier:
        wait_until(lambda: "partitions assigned: in" in classifier.log, "the first partition")
        assert_three_partitions_are_answered(wire, samples)
        assert classifier.terminate() == 0
    assert f"{wire.requests}-2" in classifier.log


def test_a_named_classifier_that_comes_back_reads_partitions_that_are_added(wire: Wire, samples: Images) -> None:
    wire.create()
    named = [*wire.classifier, "--instance-id", "one"]
    with Process("edge.classifier", *named) as classifier:
        wait_until(lambda: "partitions assigned: in" in classifier.log, "the first partition")
        classifier.kill()
    with Process("edge.classifier", *named) as classifier:
        wait_until(lambda: "partitions assigned: in" in classifier.log, "the same once more")
        assert_three_partitions_are_answered(wire, samples)
        assert classifier.terminate() == 0


def test_a_member_that_polls_too_slowly_is_evicted_comes_back_and_loses_nothing(wire: Wire, samples: Images) -> None:
    wire.create()
    wire.send(requests(samples, 3))
    revoked: list[Partition] = []

    def on_revoked(partitions: object) -> dict[Partition, int]:
        revoked.extend(partitions)  # type: ignore[arg-type]
        return {}

    source = KafkaClient(wire.servers, max_poll_interval_ms=5_000).open_source(wire.requests, wire.group, on_revoked)
    read: list[int] = []

    def has_read(count: int) -> bool:
        read.extend(record.offset for record in source.read(10, 0.5))
        return len(read) == count

    wait_until(lambda: has_read(3), "the records")
    admin = kafka_python.KafkaAdminClient(bootstrap_servers=wire.servers)
    wait_until(lambda: not admin.describe_groups([wire.group])[wire.group]["members"], "the eviction")
    admin.close()
    wait_until(lambda: has_read(6), "them once more")
    assert read == [0, 1, 2, 0, 1, 2]
    assert revoked == [Partition(wire.requests, 0)]
    source.close()


def test_a_partition_that_a_member_keeps_in_a_rebalance_is_read_again_from_what_is_committed(
    wire: Wire, samples: Images
) -> None:
    wire.create(partitions=2)
    wire.send(requests(samples, 20), key=lambda n: str(n).encode())
    # Nothing is acknowledged when partitions are revoked, so there is nothing to commit.
    source = KafkaClient(wire.servers).open_source(wire.requests, wire.group, lambda _: {})
    read: list[Partition] = []

    def has_read(count: int) -> bool:
        read.extend(record.partition for record in source.read(100, 0.2))
        return len(read) >= count

    wait_until(lambda: has_read(20), "the records")
    before = {partition: read.count(partition) for partition in read}
    other = KafkaClient(wire.servers).open_source(wire.requests, wire.group, lambda _: {})
    stop = threading.Event()
    joining = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True) if other.read(100, 0.2)])
    joining.start()
    try:
        wait_until(lambda: has_read(20 + min(before.values())), "the records of the partition that is kept")
    finally:
        stop.set()
        joining.join()
    kept = set(read[20:])
    assert {partition: read[20:].count(partition) for partition in kept} == {p: before[p] for p in kept}
    source.close()
    other.close()


def test_of_two_classifiers_with_one_name_the_older_stops(wire: Wire, samples: Images) -> None:
    wire.create()
    named = [*wire.classifier, "--delivery", "exactly-once", "--instance-id", "twin"]
    numbered = requests(samples, 2000)
    with Process("edge.classifier", *named) as older:
        wire.send(numbered[:1000])
        wait_until(lambda: len(wire.answers()) > 0, "a first prediction")
        with Process("edge.classifier", *named) as younger:
            wait_until(lambda: "partitions assigned: in" in younger.log, "the younger one's partition")
            wire.send(numbered[1000:])
            assert older.end() == 78
            wait_until(lambda: len(set(wire.committed())) == 2000, "every prediction")
            assert younger.terminate() == 0
    assert "another process runs with the same --instance-id" in older.errors[-1]
    assert [int(answer) for answer in wire.committed()] == list(range(2000))


def test_exactly_once_needs_a_name() -> None:
    ended = run("edge.classifier", "--delivery", "exactly-once")
    assert ended.process.returncode == 2
    assert "needs --instance-id" in ended.log


def test_an_outage_is_told_in_two_lines_by_each_app_and_survived(broker: LocalKafka) -> None:
    wire = wire_on(broker)
    wire.create()
    to = ["--bootstrap-servers", wire.servers]
    with (
        Process("edge.classifier", *wire.classifier) as classifier,
        Process("edge.consumer", *to, "--prediction-topic", wire.predictions) as consumer,
        Process("edge.query", *to, "--request-topic", wire.requests, "--interval", "0.1") as query,
    ):
        told = [
            (classifier, "connection to Kafka is lost", "connected to Kafka again"),
            (consumer, "connection to Kafka is lost", "connected to Kafka again"),
            (query, "acknowledges nothing", "acknowledges again"),
        ]
        wait_until(lambda: len(consumer.lines) > 5, "the first predictions")
        begins = [len(app.errors) for app, _, _ in told]

        def since() -> list[str]:
            return ["\n".join(app.errors[begin:]) for begin, (app, _, _) in zip(begins, told, strict=True)]

        broker.kill()
        wait_until(lambda: all(lost in log for log, (_, lost, _) in zip(since(), told, strict=True)), "each one's line")
        broker.start()
        before = len(consumer.lines)
        wait_until(lambda: len(consumer.lines) > before + 20, "further predictions")
        assert query.terminate() == 0, query.log
        sent = int(query.lines[-1].split()[0])
        wait_until(lambda: len(set(wire.answers())) == sent, "every prediction")
        assert (classifier.terminate(), consumer.terminate()) == (0, 0)
    for log, (_, lost, back) in zip(since(), told, strict=True):
        # A machine that stalls may have another one.
        assert 1 <= log.count(lost) == log.count(back) <= 2, log


def test_a_second_signal_ends_a_drain_at_once(broker: LocalKafka, samples: Images) -> None:
    wire = wire_on(broker)
    wire.create()
    wire.send(requests(samples, 20_000))
    options = [*wire.classifier, "--max-batch", "1", "--drain-timeout", "600"]
    with Process("edge.classifier", *options) as classifier:
        wait_until(lambda: len(wire.predicted()) > 0, "a first prediction")
        broker.pause()
        try:
            classifier.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                classifier.process.wait(0.5)
            asked = time.monotonic()
            assert classifier.end(signal.SIGTERM) == 128 + signal.SIGTERM
            assert time.monotonic() - asked < 5
        finally:
            broker.resume()


def test_a_broker_that_hangs_does_not_hold_up_the_end(broker: LocalKafka, samples: Images) -> None:
    wire = wire_on(broker)
    wire.create()
    options = [*wire.classifier, "--commit-interval", "600", "--drain-timeout", "0"]
    with Process("edge.classifier", *options) as classifier:
        # Of these, the first turn's are committed at once.
        for count in (10, 20):
            wire.send(requests(samples, 10))
            wait_until(lambda: len(wire.predicted()) == count, "the predictions")  # noqa: B023 it is over by then
        broker.pause()
        try:
            asked = time.monotonic()
            assert classifier.terminate() == 0
            assert time.monotonic() - asked < 10
        finally:
            broker.resume()
    assert "the last commit failed" in classifier.log


def senders() -> list[str]:
    """The threads of this process that write to Kafka."""
    return [thread.name for thread in threading.enumerate() if "producer" in thread.name]


def test_a_sink_that_is_closed_in_an_outage_writes_no_more(broker: LocalKafka) -> None:
    client = KafkaClient(broker.bootstrap_servers)
    client.create_topic("out", 1, {})
    sink, settled = client.open_sink(), threading.Event()
    sink.write("out", b"first", None, [], lambda _: settled.set())
    assert settled.wait(30)
    broker.pause()
    try:
        sink.write("out", b"second", None, [], lambda _: None)
        assert senders()
        sink.close(0.0)
        wait_until(lambda: not senders(), "the end of its sender")
    finally:
        broker.resume()
