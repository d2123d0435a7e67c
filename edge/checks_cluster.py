"""Checks of what a cluster holds for the apps: brokers, topics, rights, groups; they change nothing there."""

from collections.abc import Iterator

from edge.codec import REQUEST_TOPIC_CONFIG
from edge.errors import BrokerUnavailableError, ConfigurationError, NotAuthorisedError, missing_right
from edge.kafka_inspect import Inspector
from edge.preflight import Finding, Preflight, failure, ok, skipped, warning
from edge.records import Right
from edge.topics import Topic

REQUEST, PREDICTION, DEAD_LETTER = "request", "prediction", "dead letter"

NEEDED: dict[str, tuple[tuple[str, Right], ...]] = {
    "query": ((REQUEST, "WRITE"),),
    "classifier": ((REQUEST, "READ"), (PREDICTION, "WRITE"), (DEAD_LETTER, "WRITE")),
    "consumer": ((PREDICTION, "READ"),),
}
"""App → what it does to which topics."""

ADVISED = {REQUEST: REQUEST_TOPIC_CONFIG}
"""Topic → how it should be set; another value is worth a warning."""

WRAPPING_BYTES = 512
"""What a record takes beside its value: key, headers and the frame of its batch, as edge.query writes them."""

_RIGHTS_SINCE = (2, 3)
"""From this version of Kafka on, brokers say what a user may do, and members of groups may have names."""


def brokers(preflight: Preflight) -> Iterator[Finding]:
    """How many there are, and whether they are new enough."""
    count, version = preflight.inspector.brokers()
    found = f"{count} broker{'s' if count > 1 else ''}, speaking the protocol of Kafka {version}"
    if tuple(map(int, version.split(".")[:2])) < _RIGHTS_SINCE:
        yield warning("cluster", f"{found}: it does not say what rights one has, and knows no --instance-id; update it")
    else:
        yield ok("cluster", found)


def topics(preflight: Preflight) -> Iterator[Finding]:
    """Those that the apps on this device use: there, led, set as advised, and large enough for the model's images."""
    used = {kind for app in preflight.apps for kind, _ in NEEDED[app]}
    kinds = [kind for kind in preflight.topics if kind in used]
    found = preflight.inspector.topics([preflight.topics[kind] for kind in kinds])
    for kind, topic in zip(kinds, found, strict=True):
        preflight.found_topics[kind] = topic
        if topic.is_there:
            yield from _examined(preflight, kind, topic)
        else:
            yield _absent(preflight.inspector, topic)


def _absent(inspector: Inspector, topic: Topic) -> Finding:
    try:
        inspector.check_creation(topic.name)
    except NotAuthorisedError as error:
        return failure("topics", NotAuthorisedError(f"there is no topic {topic.name!r}; {error.message}"))
    return warning(
        "topics", f"there is no topic {topic.name!r}: an app would create it, and may; is that the right name?"
    )


def _examined(preflight: Preflight, kind: str, topic: Topic) -> Iterator[Finding]:
    if topic.rights == frozenset():
        yield skipped("topics", f"this user may not see the topic {topic.name!r}")
        return
    troubles = [*_out_of_order(topic), *_too_small(preflight, kind, topic), *_not_as_advised(kind, topic)]
    yield from troubles
    if not troubles:
        hidden = "" if topic.config else "; its configuration is not shown (that takes DESCRIBE_CONFIGS)"
        plural = "s" if topic.partitions > 1 else ""
        yield ok("topics", f"{topic.name!r} for each {kind}: {topic.partitions} partition{plural}{hidden}")


def _out_of_order(topic: Topic) -> Iterator[Finding]:
    if topic.leaderless:
        numbers = ", ".join(map(str, topic.leaderless[:10]))
        message = f"nobody leads partition {numbers} of the topic {topic.name!r}: a broker is down, start it"
        yield failure("topics", BrokerUnavailableError(message))
    wanted = int(topic.config.get("min.insync.replicas", 1))
    if not topic.leaderless and topic.in_sync < wanted:
        message = f"{topic.name!r} takes no writes: {topic.in_sync} replicas are in sync, of {wanted} that it asks for"
        yield failure("topics", BrokerUnavailableError(f"{message} (min.insync.replicas): start the brokers that miss"))


def _too_small(preflight: Preflight, kind: str, topic: Topic) -> Iterator[Finding]:
    largest = topic.config.get("max.message.bytes")
    if kind != REQUEST or largest is None or preflight.model is None:
        return
    image = preflight.model.contract.input_bytes
    if int(largest) < image + WRAPPING_BYTES:
        yield failure(
            "topics",
            ConfigurationError(
                f"an image of the model has {image} bytes and up to {WRAPPING_BYTES} around it, and the topic "
                f"{topic.name!r} takes records of {largest} at most: {_alter(topic, 'max.message.bytes')}"
                f"{image + WRAPPING_BYTES} or more"
            ),
        )


def _not_as_advised(kind: str, topic: Topic) -> Iterator[Finding]:
    for key, advised in ADVISED.get(kind, {}).items() if topic.config else ():
        if (found := topic.config.get(key)) != advised:
            yield warning(
                "topics",
                f"{topic.name!r} has {key}={found}; with {advised}, the broker checks what clients send, and refuses "
                f"decompression bombs: {_alter(topic, key)}{advised}",
            )


def _alter(topic: Topic, key: str) -> str:
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {topic.name} --add-config {key}="


def rights(preflight: Preflight) -> Iterator[Finding]:
    """Whether this user may do to each topic what the apps on this device do."""
    for app in preflight.apps:
        for kind, right in NEEDED[app]:
            topic = preflight.found_topics.get(kind)
            if topic is None:
                yield skipped("rights", "the topics could not be looked at")
            elif not topic.is_there:
                yield skipped("rights", f"there is no topic {topic.name!r} yet")
            elif topic.rights is None:
                yield ok("rights", f"the broker does not say whether {right} on {topic.name!r} is granted")
            elif right not in topic.rights:
                needed = right if topic.rights else f"DESCRIBE and {right}"
                error = NotAuthorisedError(f"edge.{app}: {missing_right(needed, f'topic {topic.name!r}')}")
                yield failure("rights", error)
            else:
                yield ok("rights", f"edge.{app} may {right} the topic {topic.name!r}")


def groups(preflight: Preflight) -> Iterator[Finding]:
    """How the consumer groups stand, and whether this user may join them; they are not joined."""
    if not preflight.groups:
        yield skipped("group", "edge.query joins none")
        return
    for name in preflight.groups:
        group = preflight.inspector.group(name)
        preflight.inspector.check_joining(name)
        if not group.is_there:
            yield ok("group", f"nobody is in {name!r} yet; it may be joined")
        elif group.protocol not in ("", "consumer"):
            what = f"{name!r} is no group of consumers but of {group.protocol!r}: take another --group"
            yield failure("group", ConfigurationError(what))
        else:
            plural = "" if group.members == 1 else "s"
            yield ok("group", f"{name!r} is {group.state}, with {group.members} member{plural}; it may be joined")
