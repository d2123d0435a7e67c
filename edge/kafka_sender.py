"""Sends what is written on the thread that writes it, instead of waking kafka-python's sender thread for it.

That thread still does all else: it takes in what the broker answers, sends again, gives up.
"""

import logging
import selectors
import threading
from typing import Any

from kafka.net.transport import KafkaTCPTransport

log = logging.getLogger(__name__)

FEW = 8
"""More come with a backlog, where the sender thread's help is worth waking it."""


class SharedSelector(selectors.DefaultSelector):
    """For a producer's option `selector`: while its thread waits here, and only then, another may use its state.

    `idle` is held by the sender thread except for while it waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.idle = threading.Lock()
        self.idle.acquire()

    def select(self, timeout: float | None = None) -> Any:
        """Wait for events, and let others in meanwhile."""
        self.idle.release()
        try:
            return super().select(timeout)
        finally:
            self.idle.acquire()


class SharedSender:
    """The sender of an idempotent producer with a `SharedSelector`."""

    def __init__(self, producer: Any) -> None:
        # A kafka-python without these fails here, at the start.
        self._sender, self._accumulator = producer._sender, producer._accumulator
        self._send, manager = self._sender._send_producer_data, self._sender._client._manager
        self._connections, self._idle = manager._conns, manager._net._selector.idle
        transactions, transport = producer._transaction_manager, KafkaTCPTransport(None, None)
        self._has_id = transactions.has_producer_id
        self._obstacles = (
            transactions.is_transactional,
            transactions.has_error,
            transactions.is_bumping_epoch,
            transactions.has_in_flight_transactional_request,
        )
        _ = transport._sock, transport._write_buffer

    def send(self, records: int) -> None:
        """Send what was appended, if that is few records; else, and when something must come first, have it sent."""
        if records > FEW or not self._idle.acquire(blocking=False):
            self._sender.wakeup()
            return
        try:
            is_sent = self._may_send() and self._send_now()
        except Exception:
            # The records are the sender's by now: as after an error on its own thread, they wait for its next turn.
            log.exception("kafka-python's sender failed")
            is_sent = False
        finally:
            self._idle.release()
        if not is_sent:
            self._sender.wakeup()

    def _may_send(self) -> bool:
        """Whether the sender itself would send now, with nothing to do before."""
        return self._has_id() and not any(is_in_the_way() for is_in_the_way in self._obstacles)

    def _send_now(self) -> bool:
        """Whether nothing is left to send."""
        self._send()
        flushed = [_flush(connection.transport) for connection in self._connections.values()]
        return all(flushed) and not self._accumulator.has_undrained()


def _flush(transport: Any) -> bool:
    """Write what a connection has to write; what it does not take at once, or at all, is its own thread's business."""
    if transport is None or transport._sock is None:
        return True
    pending = transport._write_buffer
    while pending:
        chunk = memoryview(pending[0])
        try:
            written = transport._sock.send(chunk)
        except OSError:
            return False
        if written == len(chunk):
            pending.popleft()
        else:
            pending[0] = chunk[written:]
    return True
