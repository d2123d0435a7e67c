"""Who runs kafka-python's network loop: whoever waits for it, else its I/O thread."""

import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kafka
import kafka.errors
import pytest
from kafka.future import Future

from edge import kafka_loop
from edge.kafka_client import KafkaClient
from edge.kafka_loop import InlineLoop
from edge.records import Record
from localkafka import LocalKafka
from tests.system.processes import wait_until

DAEMON_EVERY_S = 0.01


class Bench:
    """A loop with its I/O thread, and what a consumer does with it."""

    def __init__(self) -> None:
        self.client = kafka_loop.client(bootstrap_servers="localhost:1")
        self.manager = self.client._manager
        self.loop: InlineLoop = self.client._net
        self.loop.start()
        self.beats: list[int | None] = []

    def wait_for(self, future: Any, timeout_ms: float | None) -> Any:
        return self.loop.run(self.manager.wait_for, future, timeout_ms)

    async def beat(self) -> None:
        """What a heartbeat is like: it goes on for ever, and nobody waits for it."""
        while True:
            self.beats.append(threading.current_thread().ident)
            await self.loop.sleep(DAEMON_EVERY_S)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.client.close()


async def where() -> int | None:
    return threading.current_thread().ident


def io_thread(bench: Bench) -> int | None:
    thread: threading.Thread = bench.loop._io_thread
    return thread.ident


def test_a_consumer_gets_this_loop_and_starts_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka.net.manager.KafkaConnectionManager, "bootstrap", lambda *_: None)
    consumer = kafka.KafkaConsumer(
        kafka_client=kafka_loop.client, bootstrap_servers="localhost:1", api_version=(2, 5), metrics_enabled=False
    )
    assert isinstance(consumer._net, InlineLoop)
    assert consumer._net.run(where) == threading.get_ident()
    consumer.close(timeout_ms=100)


def test_a_kafka_python_without_what_is_replaced_fails_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(kafka.net.selector.NetworkSelector, "_poll_once")
    with pytest.raises(AttributeError, match="_poll_once"):
        InlineLoop()


def test_who_waits_runs_the_loop(bench: Bench) -> None:
    assert [bench.loop.run(where) for _ in range(3)] == [threading.get_ident()] * 3


def test_what_nobody_waits_for_goes_on_in_the_io_thread(bench: Bench) -> None:
    bench.manager.call_soon(bench.beat)
    bench.loop.run(where)
    bench.beats.clear()
    wait_until(lambda: len(bench.beats) > 5, "heartbeats while nobody waits")
    assert set(bench.beats) == {io_thread(bench)}


def test_what_nobody_waits_for_goes_on_beside_what_somebody_waits_for(bench: Bench) -> None:
    bench.manager.call_soon(bench.beat)

    async def wait_for_beats() -> None:
        bench.beats.clear()
        while len(bench.beats) < 5:
            await bench.loop.sleep(DAEMON_EVERY_S)

    bench.loop.run(wait_for_beats)
    assert set(bench.beats) == {threading.get_ident()}


def test_a_caller_that_comes_back_takes_the_loop_from_the_io_thread(bench: Bench) -> None:
    bench.manager.call_soon(bench.beat)
    for _ in range(3):
        bench.beats.clear()
        wait_until(lambda: io_thread(bench) in bench.beats, "the I/O thread's turn")
        assert bench.loop.run(where) == threading.get_ident()


def test_beside_a_busy_caller_the_io_thread_runs_the_loop_until_told_otherwise(bench: Bench) -> None:
    bench.loop.set_inline(False)
    assert {bench.loop.run(where) for _ in range(3)} == {io_thread(bench)}
    bench.loop.set_inline(True)
    assert bench.loop.run(where) == threading.get_ident()


def test_what_a_coroutine_gives_to_write_is_written_when_run_returns(bench: Bench) -> None:
    steps: list[str] = []

    async def write() -> None:
        steps.append("began")
        await bench.loop.wait_write(bench.loop._wakeup_w)
        steps.append("written")

    async def send() -> None:
        bench.loop.call_soon(write)

    bench.loop.run(send)
    assert steps == ["began", "written"]


def test_what_a_coroutine_raises_is_raised_where_it_is_waited_for(bench: Bench) -> None:
    async def fail() -> None:
        raise kafka.errors.UnknownMemberIdError

    with pytest.raises(kafka.errors.UnknownMemberIdError):
        bench.loop.run(fail)
    assert bench.loop.run(where) == threading.get_ident()


def test_a_future_is_waited_for_as_kafka_python_does(bench: Bench) -> None:
    later = Future()
    bench.loop.call_later(0.02, lambda: later.success("value"))
    assert bench.wait_for(later, None) == "value"
    assert bench.wait_for(later, 0) == "value"
    failing = Future()
    bench.loop.call_later(0.02, lambda: failing.failure(kafka.errors.RebalanceInProgressError()))
    with pytest.raises(kafka.errors.RebalanceInProgressError):
        bench.wait_for(failing, 10_000)
    began = time.monotonic()
    with pytest.raises(kafka.errors.KafkaTimeoutError):
        bench.wait_for(Future(), 50)
    assert 0.05 <= time.monotonic() - began < 5.0


def test_a_wait_of_no_time_takes_in_what_is_there(bench: Bench) -> None:
    there = Future()
    bench.loop.call_soon(lambda: there.success("value"))
    assert bench.wait_for(there, 0) == "value"


def in_another_thread(pool: ThreadPoolExecutor, bench: Bench, call: Callable[[], Any]) -> Any:
    """Start it, and return when it runs the loop."""
    started = pool.submit(call)
    wait_until(lambda: bench.loop._caller is not None, "a caller in the loop")
    return started


def test_a_second_caller_is_served_while_a_first_one_waits(bench: Bench) -> None:
    with ThreadPoolExecutor(1) as pool:
        later = Future()
        first = in_another_thread(pool, bench, lambda: bench.wait_for(later, None))
        assert bench.loop.run(where) not in (threading.get_ident(), io_thread(bench))
        bench.loop.run(lambda: later.success("value"))
        assert first.result(10) == "value"


def test_what_runs_on_the_loop_cannot_wait_for_it(bench: Bench) -> None:
    async def wait_inside() -> None:
        bench.loop.run(where)

    with pytest.raises(RuntimeError, match="cannot wait"):
        bench.loop.run(wait_inside)


def test_closing_ends_a_wait(bench: Bench) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = in_another_thread(pool, bench, lambda: bench.wait_for(Future(), None))
        bench.client.close()
        with pytest.raises(kafka.errors.KafkaConnectionError):
            waiting.result(10)
    with pytest.raises(RuntimeError, match="closed"):
        bench.loop.run(where)


def test_an_interrupt_in_the_middle_of_a_task_reaches_the_caller(bench: Bench) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    bench.loop.run(where)
    bench.loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.wait_for(Future(), 10_000)
    assert bench.loop.run(where) == threading.get_ident()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_breaks_tells_all_who_wait_now_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, is_broken = Bench(), threading.Event()
    select = bench.loop._selector.select

    def fail(timeout: float | None) -> Any:
        if is_broken.is_set():
            raise OSError("broken")
        return select(timeout)

    monkeypatch.setattr(bench.loop._selector, "select", fail)
    with ThreadPoolExecutor(2) as pool:
        first = in_another_thread(pool, bench, lambda: bench.wait_for(Future(), None))
        second = pool.submit(bench.wait_for, Future(), None)
        wait_until(lambda: bool(bench.loop._pending_waiters), "a second caller")
        is_broken.set()
        bench.loop.wakeup()
        for waiting in (first, second):
            with pytest.raises(OSError, match="broken"):
                waiting.result(10)
    with pytest.raises(OSError, match="broken"):
        bench.loop.run(where)
    thread = bench.loop._io_thread
    thread.join(10)
    assert not thread.is_alive()
    is_broken.clear()
    bench.loop.close()


@pytest.mark.kafka
def test_over_a_real_broker_the_thread_that_writes_sends_and_the_one_that_reads_receives(
    kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, topic = KafkaClient(kafka.bootstrap_servers), f"loop-{uuid.uuid4().hex[:8]}"
    client.create_topic(topic, 1, {})
    source, sink = client.open_source(topic, topic, lambda _: {}), client.open_sink()
    settled, woken, records = list[Exception | None](), list[str](), list[Record]()
    sink.write(topic, b"1", None, [], settled.append)
    wait_until(lambda: settled == [None] and not sink._blocks._sender._idle.locked(), "the sender's wait")
    wakeup = sink._producer._sender.wakeup

    def wake_up() -> None:
        woken.append("sender")
        wakeup()

    monkeypatch.setattr(sink._producer._sender, "wakeup", wake_up)
    sink.write(topic, b"2", None, [], settled.append)
    wait_until(lambda: len(settled) == 2, "the acknowledgement")
    assert (settled, woken) == ([None, None], [])
    deadline = time.monotonic() + 20
    while len(records) < 2 and time.monotonic() < deadline:
        records += source.read(10, 0.1)
    assert [record.value for record in records] == [b"1", b"2"]
    assert source._consumer._net.run(where) == threading.get_ident()
    sink.close(1.0)
    source.close()


class Transport:
    """What is used of kafka-python's."""

    def __init__(self, connection: socket.socket | None) -> None:
        self._sock = connection


def test_all_that_has_come_is_received_in_order() -> None:
    data = bytes(range(256)) * 1024
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(data,))
        sender.start()
        received = b""
        while len(received) < len(data):
            select.select([ours], [], [], 5)
            part, error = kafka_loop._receive(Transport(ours))
            assert part
            assert error is None
            received += part
        sender.join()
        assert received == data
        assert kafka_loop._receive(Transport(ours)) == (b"", None)


def test_the_end_of_a_connection_is_told_with_what_came_before() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(b"last")
    theirs.close()
    data, error = kafka_loop._receive(Transport(ours))
    assert data == b"last"
    assert "the broker closed the connection" in str(error)
    ours.close()
    for gone in (ours, None):
        data, error = kafka_loop._receive(Transport(gone))
        assert data == b""
        assert isinstance(error, kafka.errors.KafkaConnectionError)
