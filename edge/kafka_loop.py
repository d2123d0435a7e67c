"""Lets whoever waits for Kafka do the network's work meanwhile, instead of a thread of kafka-python's own.

kafka-python 3 hands each wait of its caller over to an I/O thread, which hands the result back: two changes of threads
for each, and a fight over the interpreter. Here the caller runs the network loop until it has what it waits for; while
it is busy with something else, the I/O thread does, as ever: heartbeats go on.
"""

import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import kafka.errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

_ABSENT_S, _LOOK_S = 0.05, 0.5
"""A caller that has been away from the loop for so long leaves it to the I/O thread, which looks so rarely while the
caller is there: heartbeats, which are due every two seconds, come that much later when it then stays away.
"""


RECEIVE_BYTES = 64 * 1024
"""kafka-python receives 4 KiB at a time, and gives up the interpreter for each."""
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def client(**options: Any) -> Any:
    """For a consumer's option `kafka_client`."""
    made = KafkaNetClient(net=InlineLoop(**options), **options)
    build = made._manager._build_transport

    async def build_transport(*args: Any, **named: Any) -> Any:
        transport = await build(*args, **named)
        # What is replaced: a kafka-python without it fails here.
        _ = transport._sock_recv, transport._sock
        transport._sock_recv = partial(_receive, transport)
        return transport

    made._manager._build_transport = build_transport
    return made


class InlineLoop(NetworkSelector):  # type: ignore[misc]
    """kafka-python's loop, run by one thread at a time: by a caller of `run`, else by the I/O thread."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turn = threading.Lock()
        """Held by the thread that runs the loop."""
        self._calling = threading.Lock()
        """Held by the caller that runs it, or is about to."""
        self._caller: int | None = None
        self._is_inline = True
        self._left = 0.0
        self._is_left = threading.Event()
        self._interrupt: BaseException | None = None
        # What is used, or replaced, here: a kafka-python without these fails here, at the start.
        _ = self._io_thread, self._exception, self._stop, self._ready, self._selector, self._fail_pending_waiters
        _ = super()._poll_once, super()._task_done, super().wakeup, super().run, super().call_soon_with_future
        _ = KafkaConnectionManager.wait_for

    def run(self, coro: Any, *args: Any) -> Any:
        """Run a coroutine on the loop to its end, and return or raise what it does."""
        if self._caller == threading.get_ident():
            raise RuntimeError("what runs on the loop cannot wait for it")
        is_refused = (
            not self._is_inline
            or self._io_thread in (None, threading.current_thread())
            or self._exception is not None
            or self._stop
        )
        if is_refused or not self._calling.acquire(blocking=False):
            # Another caller runs the loop already, or the I/O thread does when that one leaves.
            return super().run(coro, *args)
        try:
            with self._my_turn():
                # What waits for a future is no coroutine here, but the caller itself.
                is_wait = getattr(coro, "__func__", None) is KafkaConnectionManager.wait_for
                return self._wait_for(*args) if is_wait else self._run_to_end(coro, *args)
        finally:
            self._calling.release()

    def set_inline(self, is_inline: bool) -> None:
        """Whether callers run the loop; if not, the I/O thread does, beside a caller that has other things to do."""
        self._is_inline = is_inline
        if not is_inline:
            self._is_left.set()

    def wakeup(self) -> None:
        """Called by whoever has given the loop something to do; the thread that runs it finds that by itself."""
        if self._caller != threading.get_ident():
            super().wakeup()

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(blocking=False):
            super().wakeup()
            self._turn.acquire()
        self._caller = threading.get_ident()
        try:
            yield
        finally:
            self._caller = None
            self._left = time.monotonic()
            self._turn.release()

    def _wait_for(self, future: Any, timeout_ms: float | None) -> Any:
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while not future.is_done:
            left_s = None if deadline is None else deadline - time.monotonic()
            self._step(left_s)
            if left_s is not None and left_s <= 0 and not future.is_done:
                raise kafka.errors.KafkaTimeoutError(f"timed out after {timeout_ms} ms")
        return _result(future)

    def _run_to_end(self, coro: Any, *args: Any) -> Any:
        future = self.call_soon_with_future(coro, *args)
        while not future.is_done:
            self._step()
        # What this has given to write is written before the caller does something else.
        while self._ready:
            self._step()
        if any(writer for _, writer in (key.data for key in self._selector.get_map().values())):
            self._step(0.0)
        return _result(future)

    def _step(self, timeout_s: float | None = None) -> None:
        if self._stop:
            raise kafka.errors.KafkaConnectionError("the loop was stopped")
        try:
            super()._poll_once(timeout_s)
        except Exception as error:
            # As the I/O thread does, which ends with it.
            self._exception = error
            self._fail_pending_waiters(error)
            raise
        if self._interrupt is not None:
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt

    def _task_done(self, task: Any) -> None:
        """Called, too, when a task has raised, which is logged: an interrupt of the program is none of the task's."""
        super()._task_done(task)
        raised = sys.exc_info()[1]
        if self._caller == threading.get_ident() and isinstance(raised, (KeyboardInterrupt, SystemExit)):
            self._interrupt = raised

    def _poll_once(self, timeout: float | None = None) -> None:
        """One turn, of the I/O thread while no caller is there, or of whoever else has no I/O thread."""
        if threading.current_thread() is self._io_thread:
            self._wait_until_left()
            with self._turn:
                if self._exception is not None:
                    raise self._exception
                # The wake-up of a stop may have gone to a caller that has left since.
                super()._poll_once(0.0 if self._stop else timeout)
        else:
            super()._poll_once(timeout)

    def _wait_until_left(self) -> None:
        while not self._stop and self._is_taken():
            self._is_left.wait(_LOOK_S if self._calling.locked() else _ABSENT_S)
            self._is_left.clear()

    def _is_taken(self) -> bool:
        return self._calling.locked() or (self._is_inline and time.monotonic() - self._left < _ABSENT_S)


def _receive(transport: Any) -> tuple[bytes, Exception | None]:
    """All that has come, and why no more will come."""
    chunks: list[bytes] = []
    try:
        while chunk := transport._sock.recv(RECEIVE_BYTES):
            chunks.append(chunk)
    except _NOT_NOW:
        return b"".join(chunks), None
    except (OSError, AttributeError) as error:
        # A transport that is closed meanwhile has no socket.
        return b"".join(chunks), kafka.errors.KafkaConnectionError(error)
    return b"".join(chunks), kafka.errors.KafkaConnectionError("the broker closed the connection")


def _result(future: Any) -> Any:
    if future.exception is not None:
        raise future.exception
    return future.value
