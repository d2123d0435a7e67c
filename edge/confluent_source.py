"""librdkafka's consumer behind the protocol of `records`, watched: it can be away, asleep, or misled."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from edge.confluent_commits import Commits, commit, commit_in_time, does_in_time
from edge.confluent_errors import CLIENT_ERRORS, translate
from edge.confluent_options import HEARTBEAT_INTERVAL_MS
from edge.confluent_reader import Reader
from edge.confluent_watch import Statistics, Topic, is_member
from edge.errors import BrokerUnavailableError, EdgeError, is_fatal
from edge.outage import Outage
from edge.records import OnDone, OnRevoked, Partition, Record
from edge.servers import SESSION_TIMEOUT_MS

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S, HURRIED_CLOSE_TIMEOUT_S = 5.0, 0.5
ASLEEP_S = (SESSION_TIMEOUT_MS - 1.5 * HEARTBEAT_INTERVAL_MS) / 1000
"""After so long without a read the group may have evicted this member before its next heartbeat says so."""
_LOOK_S = 5.0
_COMMITTED_TIMEOUT_S, _REVOKE_COMMIT_S = 5.0, 3.0
_TROUBLES = {KafkaError._AUTHENTICATION, KafkaError._SSL}


class ConfluentSource:
    """A member of a consumer group; at least once, as `records.Source` says.

    `open_consumer` makes a consumer from its callbacks, and `open_admin` gives an administrator; `find_fault` says why
    the cluster cannot be used, None when it can.
    """

    def __init__(
        self,
        open_consumer: Callable[..., Any],
        open_admin: Callable[[], Any],
        reader: Reader,
        group: str,
        instance_id: str | None,
        on_revoked: OnRevoked,
        find_fault: Callable[[], EdgeError | None],
    ) -> None:
        self._open_consumer = open_consumer
        self._open_admin = open_admin
        self._reader = reader
        self._group = group
        self._instance_id = instance_id
        self._on_revoked = on_revoked
        self._find_fault = find_fault
        self._name = reader.topic
        self._topic = Topic(open_admin, self._name)
        reader.on_step_back = self._topic.look_closely
        self._known_partitions = 0
        self._commits = Commits(self._name, group)
        self._is_unheard = False
        self._last_read = time.monotonic()
        self._was_asleep = False
        self._ill_since: float | None = None
        self._next_look = 0.0
        self._connection = Outage("the connection to Kafka is lost, trying again", "connected to Kafka again")
        named = f"the topic {self._name!r}"
        self._missing = Outage(f"{named} is gone, waiting for it", f"{named} is there again")
        self._subscribe()

    @property
    def is_ahead(self) -> bool:
        """Whether the last read got all that it asked for."""
        return self._reader.is_ahead

    @property
    def lag(self) -> Mapping[Partition, int | None]:
        """Of each partition that is assigned, how many records were not read yet."""
        return self._reader.lag

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records` records; raises EdgeError when reading cannot go on."""
        self._watch()
        if self._reader.is_lost and not self._finds_its_way():
            return []
        records = self._reader.read(max_records, timeout_s)
        if self._slept() and not self._is_awake():
            self._reader.forget()
            return []
        if self._reader.fatal is not None:
            raise self._reader.fatal
        return records

    def commit(self, offsets: Mapping[Partition, int], on_done: OnDone) -> None:
        """Start a commit, one at a time; `on_done` is called from a later `read`."""
        self._commits.start(self._consumer, offsets, on_done)

    def commit_now(self, offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Commit and wait; a failure is logged, since what was not committed is only read again."""
        if self._topic.is_other:
            return
        error = commit_in_time(self._consumer, offsets, timeout_s)
        if error is not None:
            log.warning("the last commit failed (%s): the records since the one before will be read again", error)
            self._is_unheard = True

    def rewind(self, offsets: Mapping[Partition, int]) -> None:
        """Read again from the given offsets."""
        self._reader.seek({partition.number: offset for partition, offset in offsets.items()})

    def rewind_to_committed(self) -> None:
        """Read again from what the group has committed; raises EdgeError when its coordinator does not say it."""
        partitions = [TopicPartition(self._name, number) for number in self._reader.owned]
        try:
            found = self._consumer.committed(partitions, _COMMITTED_TIMEOUT_S) if partitions else []
        except CLIENT_ERRORS as error:
            raise translate(error, "finding out what is committed", group=self._group) from error
        failures = [partition.error for partition in found if partition.error is not None]
        if failures:
            raise translate(failures[0], "finding out what is committed", group=self._group)
        self._reader.seek({p.partition: p.offset if p.offset >= 0 else OFFSET_BEGINNING for p in found})

    def check_place(self) -> None:
        """Raises FencedError when another process has this member's name, BrokerUnavailableError when nobody says."""
        self._is_member()

    @property
    def membership(self) -> object:
        """The member's generation, by which the broker tells it from a stale one."""
        return self._consumer.consumer_group_metadata()

    def pause(self, paused: bool) -> None:
        """Stop or go on returning records."""
        self._reader.is_paused = paused

    def close(self) -> None:
        """Leave the group."""
        # A coordinator that has not answered the last commit hardly answers this.
        timeout_s = HURRIED_CLOSE_TIMEOUT_S if self._is_unheard else CLOSE_TIMEOUT_S
        self._is_closing = True
        if not does_in_time(self._consumer.close, timeout_s):
            log.warning("the group was not left cleanly: its other members wait for the session to end")

    def _subscribe(self) -> None:
        self._is_closing = False
        self._statistics = Statistics(self._name)
        self._consumer = self._open_consumer(
            on_commit=self._commits.taken, stats_cb=self._statistics.take, error_cb=self._on_error
        )
        self._reader.start(self._consumer, self._statistics)
        callbacks = {"on_assign": self._on_assign, "on_revoke": self._on_revoke, "on_lost": self._on_lost}
        self._consumer.subscribe([self._name], **callbacks)

    def _watch(self) -> None:
        """Look after the consumer before each read; raises EdgeError when no patience helps."""
        if self._slept():
            self._is_awake()
        now = self._last_read = time.monotonic()
        self._commits.look(now)
        self._topic.look(now)
        if self._commits.fatal is not None:
            raise self._commits.fatal
        self._missing.note(not self._topic.is_there)
        self._connection.note(not self._statistics.is_connected)
        self._diagnose(now)
        self._join_for_all()

    def _diagnose(self, now: float) -> None:
        if self._statistics.is_connected:
            self._ill_since = None
            return
        self._ill_since = self._ill_since or now
        if now - self._ill_since < _LOOK_S or now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        fault = self._find_fault()
        if is_fatal(fault):
            raise fault

    def _join_for_all(self) -> None:
        """Join once more when the topic has other partitions than this static member knew.

        One that comes back is not told that it leads its group, and nobody would ever look after partitions that are
        new. The broker knows better.
        """
        count = self._topic.partitions
        if self._instance_id is None or not count or count == self._known_partitions:
            return
        is_new = self._known_partitions > 0
        self._known_partitions = count
        if is_new:
            self._replace()

    def _finds_its_way(self) -> bool:
        try:
            self.rewind_to_committed()
        except BrokerUnavailableError:
            return False
        return True

    def _slept(self) -> bool:
        self._was_asleep = self._was_asleep or time.monotonic() - self._last_read > ASLEEP_S
        return self._was_asleep

    def _is_awake(self) -> bool:
        """After a sleep of the whole process: whether what was fetched before it may still be answered."""
        try:
            is_member = self._is_member()
        except BrokerUnavailableError:
            return False
        self._was_asleep, self._last_read = False, time.monotonic()
        if not is_member:
            log.warning("this process was away for so long that its group has evicted it: it joins again")
            self._replace()
        return is_member

    def _is_member(self) -> bool:
        member_id = self._consumer.memberid()
        return not member_id or is_member(self._open_admin(), self._group, member_id, self._instance_id)

    def _replace(self) -> None:
        """Join again with a new consumer: what the old one has fetched is gone with it."""
        self._on_revoked([Partition(self._name, number) for number in self._reader.owned])
        self._reader.forget()
        self.close()
        self._commits.settle(BrokerUnavailableError("the Kafka client was replaced"))
        self._subscribe()

    def _on_error(self, error: Any) -> None:
        if error.code() in _TROUBLES:
            self._ill_since, self._next_look = time.monotonic() - _LOOK_S, 0.0

    def _on_assign(self, consumer: Any, assigned: Collection[Any]) -> None:
        if consumer is not self._consumer:
            # One that was replaced, and takes its time to close.
            return
        names = ", ".join(sorted(f"{tp.topic}-{tp.partition}" for tp in assigned)) or "none"
        log.info("partitions assigned: %s", names)
        self._reader.owned.update(tp.partition for tp in assigned)

    def _on_revoke(self, consumer: Any, revoked: Collection[Any]) -> None:
        """Commits what is answered before partitions go to another member; runs in a `read`."""
        if consumer is not self._consumer:
            return
        self._reader.forget()
        offsets = self._on_revoked([Partition(tp.topic, tp.partition) for tp in revoked])
        if not offsets or self._is_unheard or self._topic.is_other:
            return
        # While it is closed, the client keeps other threads out; whoever closes it waits no longer than he wants to.
        finish = commit if self._is_closing else partial(commit_in_time, timeout_s=_REVOKE_COMMIT_S)
        error = finish(self._consumer, offsets)
        if error is not None:
            log.warning("the commit of revoked partitions failed (%s): some records will be answered again", error)

    def _on_lost(self, consumer: Any, lost: Collection[Any]) -> None:
        if consumer is not self._consumer:
            return
        # In an outage nobody can say whether it was.
        if self._statistics.is_connected:
            log.warning("partitions lost: this process was evicted from its group; some records will be answered again")
        self._reader.forget()
        self._on_revoked([Partition(tp.topic, tp.partition) for tp in lost])
