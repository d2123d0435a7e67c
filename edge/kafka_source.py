"""kafka-python's consumer behind the protocol of `records`, watched: it can be away, busy with nothing, or misled."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import kafka
import kafka.errors

from edge.ahead import Ahead
from edge.errors import BrokerUnavailableError, ConfigurationError, EdgeError, is_fatal
from edge.kafka_errors import translate
from edge.kafka_listener import Listener
from edge.kafka_member import Member
from edge.kafka_records import tolerate
from edge.kafka_sink import kafka_offsets
from edge.outage import Outage
from edge.records import OnDone, OnRevoked, Partition, Record

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_MS, HURRIED_CLOSE_TIMEOUT_MS = 5_000, 500
STUCK_S = 15.0
"""A client that has made no progress for so long, though a broker answers, is replaced."""
_LOOK_S = 5.0
_PAUSE_S, _SPIN_PROBE_S, _BREATH_S = 0.25, 0.02, 0.005
_COMMITTED_TIMEOUT_MS = 5_000


class KafkaSource:
    """A member of a consumer group; at least once, as `records.Source` says.

    `open_consumer` makes a consumer; `find_fault` says why the cluster cannot be used, None when it can.
    """

    def __init__(
        self,
        open_consumer: Callable[[], Any],
        topic: str,
        on_revoked: OnRevoked,
        find_fault: Callable[[], EdgeError | None],
    ) -> None:
        self._open_consumer = open_consumer
        self._topic = topic
        self._on_revoked = on_revoked
        self._find_fault = find_fault
        self._topic_id: object = None
        self._fatal: EdgeError | None = None
        self._committing: OnDone | None = None
        self._is_unheard = False
        self._is_paused = False
        self._is_spinning = False
        self._is_rot_told = False
        self._ill_since: float | None = None
        self._next_look = 0.0
        self._connection = Outage("the connection to Kafka is lost, trying again", "connected to Kafka again")
        self._missing = Outage(f"the topic {topic!r} is gone, waiting for it", f"the topic {topic!r} is there again")
        self._reading = Outage("reading fails and will be repeated", "reading goes on")
        self._subscribe(open_consumer())

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records` records; raises EdgeError when reading cannot go on."""
        if self._is_paused:
            # What became of writes and commits, for which it is paused, is looked at in between.
            timeout_s = min(timeout_s, _BREATH_S)
            self._loop.set_inline(False)
        if self._ahead and self._ahead.is_stale:
            self.rewind(self._ahead.starts())
        try:
            if self._ahead:
                self._member.hear_of_commits()
            else:
                self._fill(max_records, timeout_s)
        except kafka.errors.KafkaError as error:
            self._wait_after(error)
            return []
        if not self._is_paused:
            return self._ahead.take(max_records)
        if self._ahead:
            time.sleep(timeout_s)
        return []

    @property
    def is_ahead(self) -> bool:
        """Whether there are records that were polled and not read."""
        return bool(self._ahead) and not self._ahead.is_stale

    @property
    def lag(self) -> Mapping[Partition, int | None]:
        """Of each partition that is assigned, how many records were not read yet."""
        return self._member.lag(self._ahead.starts())

    def _fill(self, max_records: int, timeout_s: float) -> None:
        polled = self._poll(self._ahead.limit(max_records), timeout_s)
        self._ahead.put(polled)
        if polled:
            # While there is a backlog, the next records come in beside the work on these.
            self._loop.set_inline(len(polled) <= max_records)

    def _poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self._watch()
        if self._is_spinning:
            # Its own thread's work would look like more of the same.
            self._loop.set_inline(False)
            time.sleep(_PAUSE_S)
            timeout_s = _SPIN_PROBE_S
        self._member.keep()
        worked_s = time.thread_time()
        polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        self._reading.note(False)
        # While its coordinator is away, kafka-python waits for records by polling as fast as it can.
        worked_s = time.thread_time() - worked_s
        is_busy = worked_s > max(timeout_s, _SPIN_PROBE_S) / 4
        self._is_spinning = not polled and (is_busy or self._member.is_heartbeat_overdue)
        return [record for records in polled.values() for record in records]

    def commit(self, offsets: Mapping[Partition, int], on_done: OnDone) -> None:
        """Start a commit, one at a time; `on_done` is called from a later `read`."""
        self._committing = on_done

        def callback(_: object, response: object) -> None:
            error = response if isinstance(response, Exception) else None
            if error is not None and is_fatal(translated := translate(error, "committing")):
                self._fatal = translated
            # A consumer that was replaced has no say any more.
            if self._committing is on_done:
                self._committing = None
                on_done(error)

        self._consumer.commit_async(kafka_offsets(offsets), callback)

    def commit_now(self, offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Commit and wait; a failure is logged, since what was not committed is only read again."""
        if self._is_other_topic():
            return
        try:
            self._consumer.commit(kafka_offsets(offsets), timeout_ms=int(timeout_s * 1000))
        except kafka.errors.KafkaError as error:
            log.warning("the last commit failed (%s): the records since the one before will be read again", error)
            self._is_unheard = True

    def rewind(self, offsets: Mapping[Partition, int]) -> None:
        """Read again from the given offsets."""
        self._ahead.drop(offsets)
        owned = self._consumer.assignment()
        for partition, offset in offsets.items():
            if kafka.TopicPartition(*partition) in owned:
                self._consumer.seek(kafka.TopicPartition(*partition), offset)

    def rewind_to_committed(self) -> None:
        """Read again from what the group has committed; raises EdgeError when its coordinator does not say it."""
        self._ahead.put([])
        try:
            for partition in self._consumer.assignment():
                offset = self._consumer.committed(partition, timeout_ms=_COMMITTED_TIMEOUT_MS)
                if offset is None:
                    self._consumer.seek_to_beginning(partition)
                else:
                    self._consumer.seek(partition, offset)
        except kafka.errors.KafkaError as error:
            raise translate(error, "finding out what is committed") from error

    def check_place(self) -> None:
        """Raises FencedError when another process has this member's name, BrokerUnavailableError when nobody says."""
        self._member.check_place()

    @property
    def membership(self) -> object:
        """The member's generation, by which the broker tells it from a stale one."""
        return self._consumer.group_metadata()

    def pause(self, paused: bool) -> None:
        """Stop or go on returning records."""
        self._is_paused = paused
        if paused:
            self._consumer.pause(*self._consumer.assignment())
        elif self._consumer.paused():
            self._consumer.resume(*self._consumer.paused())

    def close(self) -> None:
        """Leave the group."""
        # A coordinator that has not answered the last commit hardly answers this.
        timeout_ms = HURRIED_CLOSE_TIMEOUT_MS if self._is_unheard else CLOSE_TIMEOUT_MS
        try:
            self._consumer.close(autocommit=False, timeout_ms=timeout_ms)
        except kafka.errors.KafkaError as error:
            log.warning("the group was not left cleanly (%s): its other members wait for the session to end", error)

    def _subscribe(self, consumer: Any) -> None:
        self._ahead = Ahead()
        self._consumer = consumer
        self._loop = self._consumer._net
        self._member = Member(self._consumer, self._topic)
        tolerate(self._consumer)
        self._consumer.subscribe(
            [self._topic], listener=Listener(self._consumer, self._member, self._on_revoked, self._may_commit)
        )

    def _watch(self) -> None:
        """Look after the consumer before each read; raises EdgeError when no patience helps."""
        if self._is_other_topic():
            self._fatal = ConfigurationError(
                f"the topic {self._topic!r} was deleted and made again: offsets from before mean nothing in it. "
                "Start again, with another --group if this one has committed since, to read it from its beginning"
            )
        if self._fatal is not None:
            raise self._fatal
        self._missing.note(self._topic_id is not None and self._current_topic_id() is None)
        is_connected = bool(self._consumer._manager.least_used_connections())
        self._connection.note(not is_connected)
        if is_connected and not self._is_spinning:
            self._ill_since = None
        else:
            self._diagnose(time.monotonic())

    def _diagnose(self, now: float) -> None:
        self._ill_since = self._ill_since or now
        if now - self._ill_since < _LOOK_S or now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        fault = self._find_fault()
        if is_fatal(fault):
            raise fault
        if fault is not None:
            # Only from now on can a broker have answered; the client may well recover with it.
            self._ill_since = now
        elif now - self._ill_since >= STUCK_S:
            self._replace()

    def _replace(self) -> None:
        try:
            consumer = self._open_consumer()
        except BrokerUnavailableError:
            # It has gone again: when one answers, the old client may yet go on with it.
            self._ill_since = time.monotonic()
            return
        log.warning("the Kafka client makes no progress though a broker answers: it is replaced by a new one")
        self._on_revoked([Partition(*tp) for tp in self._consumer.assignment()])
        self.close()
        committing, self._committing = self._committing, None
        if committing is not None:
            committing(BrokerUnavailableError("the Kafka client was replaced"))
        self._is_spinning, self._ill_since = False, None
        self._subscribe(consumer)

    def _wait_after(self, error: Exception) -> None:
        fault = translate(error, "reading")
        if is_fatal(fault):
            raise fault from error
        self._reading.note(True, error)
        if isinstance(error, kafka.errors.CorruptRecordError) and not self._is_rot_told:
            # One partition stands still: reading the others makes the outage look as if it were over.
            self._is_rot_told = True
            log.warning("%s: one partition of %r stands still until its log is mended", fault, self._topic)
        time.sleep(_PAUSE_S)

    def _current_topic_id(self) -> object:
        return self._consumer._cluster.topic_id(self._topic)

    def _may_commit(self) -> bool:
        return not self._is_unheard and not self._is_other_topic()

    def _is_other_topic(self) -> bool:
        """Whether the topic is no longer the one that was read first: offsets must not be committed to it."""
        current = self._current_topic_id()
        self._topic_id = self._topic_id or current
        return current is not None and current != self._topic_id
