"""Asks a cluster, by kafka-python, about its brokers, topics and groups; changes nothing."""

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import kafka
import kafka.admin
import kafka.errors

from edge.cluster import Cluster
from edge.errors import NotAuthorisedError, missing_right
from edge.kafka_client import security_options
from edge.kafka_errors import translate
from edge.outage import patiently
from edge.records import Partition
from edge.topics import Group, Topic

_TIMEOUT_MS = 10_000
_NO_COORDINATOR = (
    kafka.errors.CoordinatorNotAvailableError,
    kafka.errors.CoordinatorLoadInProgressError,
    kafka.errors.NotCoordinatorError,
)

Result = TypeVar("Result")


def inspect(cluster: Cluster) -> "Inspector":
    """An inspector of the cluster.

    Raises: BrokerUnavailableError, NotAuthorisedError or ConfigurationError, here and from each question.
    """
    servers = cluster.servers
    options = {"bootstrap_timeout_ms": _TIMEOUT_MS, "request_timeout_ms": _TIMEOUT_MS}
    with _asking(f"connecting to {', '.join(servers)}"):
        admin = kafka.KafkaAdminClient(bootstrap_servers=servers, **options, **security_options(cluster.security))
    return Inspector(admin)


class Inspector:
    """Questions to one cluster."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin

    def close(self) -> None:
        """Give up its connections."""
        self._admin.close()

    def brokers(self) -> tuple[int, str]:
        """How many brokers there are, and the version of Kafka that the first of them speaks like."""
        with _asking("looking at the cluster"):
            brokers = self._admin.describe_cluster()["brokers"]
            version = self._admin.get_broker_version_data(brokers[0]["broker_id"]).broker_version
        return len(brokers), ".".join(map(str, version))

    def topics(self, names: Sequence[str]) -> list[Topic]:
        """The topics of these names, in their order; one that this user may not even see is there, without rights."""
        with _asking("looking at the topics"):
            found = {topic["name"]: topic for topic in self._admin.describe_topics(list(names))}
            seen = [name for name in names if not found[name]["error_code"]]
            configs = self._configs(seen) if seen else {}
        return [_topic(found[name], configs.get(name, {})) for name in names]

    def check_creation(self, name: str) -> None:
        """Ask whether the topic could be created, without doing so; raises EdgeError when it could not."""
        with _asking(f"creating the topic {name!r}"):
            self._admin.create_topics({name: {"num_partitions": 1}}, validate_only=True)

    def group(self, name: str) -> Group:
        """How a group stands."""
        with _asking_of_group(name, "looking at"):
            found = _of_coordinator(lambda: self._admin.describe_groups([name])[name])
        return Group(name, found["group_state"], len(found["members"]), found["protocol_type"])

    def check_joining(self, name: str) -> None:
        """Ask whether this user may join a group; raises NotAuthorisedError when not.

        A member that nobody is leaves: that takes the right to join, and the broker answers that there is none.
        To join and see would take partitions from those who work.
        """
        nobody = kafka.admin.MemberToRemove(member_id=f"edge.doctor-{uuid.uuid4().hex}")
        with _asking_of_group(name, "joining"), contextlib.suppress(kafka.errors.UnknownMemberIdError):
            _of_coordinator(lambda: self._admin.remove_group_members(name, [nobody]))

    def ends(self, topic: str) -> dict[Partition, int]:
        """The offset that the next record of each partition will have."""
        with _asking(f"reading {topic!r}"):
            (found,) = self._admin.describe_topics([topic])
            numbers = [partition["partition_index"] for partition in found["partitions"]]
            latest = {kafka.TopicPartition(topic, n): kafka.admin.OffsetSpec.LATEST for n in numbers}
            ends = self._admin.list_partition_offsets(latest)
        return {Partition(*tp): place.offset for tp, place in ends.items()}

    def _configs(self, names: Sequence[str]) -> dict[str, Any]:
        kind = kafka.admin.ConfigResourceType.TOPIC
        resources = [kafka.admin.ConfigResource(kind, name) for name in names]
        found: dict[str, Any] = self._admin.describe_configs(resources, config_filter="all")["topic"]
        return found


@contextlib.contextmanager
def _asking(doing: str) -> Iterator[None]:
    try:
        yield
    except kafka.errors.KafkaError as error:
        raise translate(error, doing) from error


@contextlib.contextmanager
def _asking_of_group(name: str, doing: str) -> Iterator[None]:
    with _asking(f"{doing} the group {name!r}"):
        try:
            yield
        except kafka.errors.GroupAuthorizationFailedError:
            # The error does not always name the group.
            raise NotAuthorisedError(missing_right("READ", f"group {name!r}")) from None


def _of_coordinator(ask: Callable[[], Result]) -> Result:
    """Ask until somebody keeps the groups: a new cluster, or one that has lost a broker, takes a moment for that."""
    return patiently(ask, _NO_COORDINATOR, _TIMEOUT_MS / 1000, threading.Event())


def _topic(found: Mapping[str, Any], config: Mapping[str, Any]) -> Topic:
    name, error = found["name"], kafka.errors.for_code(found["error_code"])
    if error is kafka.errors.UnknownTopicOrPartitionError:
        return Topic(name, is_there=False)
    if error is kafka.errors.TopicAuthorizationFailedError:
        return Topic(name, is_there=True, rights=frozenset())
    partitions, rights = found["partitions"], found.get("authorized_operations")
    return Topic(
        name,
        is_there=True,
        partitions=len(partitions),
        leaderless=tuple(sorted(each["partition_index"] for each in partitions if each["leader_id"] < 0)),
        in_sync=min((len(each["isr_nodes"]) for each in partitions), default=0),
        rights=None if rights is None else frozenset(rights),
        config={key: str(entry["value"]) for key, entry in config.items() if entry.get("value") is not None},
    )
