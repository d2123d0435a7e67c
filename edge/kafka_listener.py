"""What is done when partitions of a group come and go; it runs on kafka-python's network loop."""

import logging
from collections.abc import Callable, Collection
from typing import Any

import kafka
import kafka.errors

from edge.kafka_member import Member
from edge.kafka_sink import kafka_offsets
from edge.records import OnRevoked, Partition

log = logging.getLogger(__name__)

_COMMIT_MS = 3_000


class Listener(kafka.AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Commits what is answered before partitions go to another member, if `may_commit` says so."""

    def __init__(self, consumer: Any, member: Member, on_revoked: OnRevoked, may_commit: Callable[[], bool]) -> None:
        self._consumer = consumer
        self._member = member
        self._on_revoked = on_revoked
        self._may_commit = may_commit

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """They go to another member, or maybe back to this one."""
        try:
            await self._commit(revoked)
        finally:
            self._member.forget_positions()

    async def _commit(self, revoked: Collection[Any]) -> None:
        offsets = self._on_revoked([Partition(*tp) for tp in revoked])
        if not offsets or not self._may_commit():
            return
        try:
            # kafka-python itself would hold up the rebalance, or the end of the process, for half a minute.
            committing = self._consumer.commit_async(kafka_offsets(offsets))
            await self._consumer._manager.wait_for(committing, _COMMIT_MS)
        except kafka.errors.KafkaError as error:
            log.warning("the commit of revoked partitions failed (%s): some records will be answered again", error)

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """The group has given these to this member."""
        names = ", ".join(sorted(f"{tp.topic}-{tp.partition}" for tp in assigned)) or "none"
        log.info("partitions assigned: %s", names)
        self._member.joined(len(assigned))

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """Another member has them already."""
        log.warning("partitions lost: this process was evicted from its group; some records will be answered again")
        self._on_revoked([Partition(*tp) for tp in lost])
