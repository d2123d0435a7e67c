"""This process's place in its consumer group, kept where kafka-python 3.0.12 would lose it."""

import time
from collections.abc import Mapping
from typing import Any

import kafka.errors

from edge.kafka_errors import translate
from edge.records import Partition
from edge.servers import HEARTBEAT_INTERVAL_MS, SESSION_TIMEOUT_MS

_HEARTBEAT_GRACE_S = 0.5
_ANSWER_TIMEOUT_MS = 5_000
_REJOINING = (
    kafka.errors.RebalanceInProgressError,
    kafka.errors.IllegalGenerationError,
    kafka.errors.UnknownMemberIdError,
)
"""What a heartbeat is told that is out of date, but whose place nobody has taken."""


class Member:
    """The membership of one consumer that reads one topic."""

    def __init__(self, consumer: Any, topic: str) -> None:
        self._consumer = consumer
        self._coordinator = consumer._coordinator
        self._topic = topic
        self._known: int | None = None
        self._last_kept = time.monotonic()

    def joined(self, partitions: int) -> None:
        """Note how many partitions the group gave this member."""
        self._known = partitions if self._known is None else self._known

    def keep(self) -> None:
        """Join again where kafka-python would not, or not in time; call this before each poll.

        It forgets a rebalance that new metadata has started when a poll's time-out interrupts it, and then neither
        heartbeats nor fetches, for ever. And after a sleep of the whole process it fetches on until its next heartbeat
        fails, though its partitions have long been somebody else's.
        """
        now = time.monotonic()
        was_asleep = (now - self._last_kept) * 1000 > SESSION_TIMEOUT_MS
        if self._coordinator.rejoining or (was_asleep and self._coordinator.heartbeat.session_timeout_expired()):
            self._coordinator.request_rejoin()
        self._last_kept = now
        self._join_for_all()

    @property
    def is_heartbeat_overdue(self) -> bool:
        """Whether the coordinator owes an answer to the last heartbeat: kafka-python then spins, and each turn leaves
        callbacks at the fetch that is under way, 100 MB in half a minute.
        """
        sent = max(self._coordinator.heartbeat.last_send, self._coordinator.heartbeat.last_reset)
        is_late = time.monotonic() - sent > HEARTBEAT_INTERVAL_MS / 1000 + _HEARTBEAT_GRACE_S
        return is_late and bool(self._coordinator.stable())

    def lag(self, starts: Mapping[Partition, int]) -> dict[Partition, int | None]:
        """As `records.Source.lag`; `starts` are the first offsets of what was polled and not read."""
        states = self._consumer._subscription.assignment
        assigned = {Partition(*tp): states.get(tp) for tp in self._consumer.assignment()}
        return {partition: _lag(state, starts.get(partition)) for partition, state in assigned.items()}

    def hear_of_commits(self) -> None:
        """Take in what became of commits, as each poll does; raises KafkaError when another process has this name."""
        self._coordinator._invoke_completed_offset_commit_callbacks()

    def check_place(self) -> None:
        """Ask the group whether this member's name is still its own, by a heartbeat of its own.

        Raises: FencedError when another process has it, BrokerUnavailableError when no coordinator says.
        """
        manager = self._consumer._manager
        heartbeat = manager.call_soon(self._coordinator._send_heartbeat_request)
        try:
            self._consumer._net.run(manager.wait_for, heartbeat, _ANSWER_TIMEOUT_MS)
        except _REJOINING:
            return
        except kafka.errors.KafkaError as error:
            raise translate(error, "asking the group for this process's place") from error

    def forget_positions(self) -> None:
        """Let partitions that this member keeps in a rebalance be read again from what is committed.

        kafka-python would go on where it was, which is behind what was in flight and is forgotten.
        """
        self._consumer._subscription.assign_from_subscribed([])

    def _join_for_all(self) -> None:
        """Join once more when the topic has other partitions than this static member knew, unless it leads its group.

        One that comes back gets what its predecessor had, maybe nothing, and kafka-python then believes that its
        predecessor leads the group: nobody would ever look after partitions that are new. The broker knows better.
        """
        coordinator = self._coordinator
        count = len(self._consumer._cluster.partitions_for_topic(self._topic) or ())
        is_follower = coordinator.stable() and not coordinator.is_dynamic_member() and not coordinator._is_leader
        if is_follower and count and self._known not in (None, count):
            self._known = count
            coordinator.request_rejoin()


def _lag(state: Any, start: int | None) -> int | None:
    """From where a partition is read, which is its position unless `start` says it, to its end."""
    if state is None:
        # By now it belongs to another member.
        return None
    # Looked up once: the client's own thread moves them.
    position, end = state.position, state.highwater
    if position is None or end is None:
        return None
    return max(0, int(end) - int(position.offset if start is None else start))
