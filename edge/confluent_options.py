"""The options of librdkafka, in its own words: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md."""

from typing import Any

from edge.cluster import Cluster
from edge.servers import MAX_POLL_INTERVAL_MS, SESSION_TIMEOUT_MS

HEARTBEAT_INTERVAL_MS = 500
"""Only by an answer to one of these does librdkafka learn that others join or leave."""
QUEUED_KIB = 4_096
"""Most that a consumer holds ready beside what its program has taken."""

WATCHFUL = {
    # The default of 10 s would let an app sit still long after its broker is back.
    "reconnect.backoff.max.ms": 500,
    # How soon new partitions are seen.
    "topic.metadata.refresh.interval.ms": 3_000,
    "enable.metrics.push": False,
    "socket.nagle.disable": True,
    "log.connection.close": False,
}

CONSUMER = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # Also tells the coordinator to withhold offsets that a transaction may still change.
    "isolation.level": "read_committed",
    "session.timeout.ms": SESSION_TIMEOUT_MS,
    "heartbeat.interval.ms": HEARTBEAT_INTERVAL_MS,
    "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
    "allow.auto.create.topics": False,
    "check.crcs": True,
    # A full queue is looked at again after a second, by default, which starves a fast program.
    "queued.max.messages.kbytes": QUEUED_KIB,
    "fetch.queue.backoff.ms": 5,
    "fetch.error.backoff.ms": 100,
    "statistics.interval.ms": 1_000,
}

PRODUCER = {
    "enable.idempotence": True,
    # As kafka-python and Java do, so that a key has one partition whichever client writes.
    "partitioner": "murmur2_random",
    "message.max.bytes": 1_048_576,
    "message.timeout.ms": 120_000,
    "queue.buffering.max.kbytes": 131_072,
    # A backlog goes in large requests; a lone answer does not linger, since flushing a producer ends that.
    "linger.ms": 5,
    "max.in.flight.requests.per.connection": 1,
    # A broker that limits a topic's batches to less than this refuses them whole.
    "batch.size": 65_536,
}


def connection_options(cluster: Cluster) -> dict[str, Any]:
    """How to reach a cluster; holds the password in clear."""
    security = cluster.security
    options: dict[str, Any] = {"bootstrap.servers": cluster.bootstrap_servers, "security.protocol": security.protocol}
    if security.is_tls:
        options["ssl.endpoint.identification.algorithm"] = "https"
        files = {"ssl.ca.location": security.ca, "ssl.certificate.location": security.certificate}
        options |= {name: str(path) for name, path in {**files, "ssl.key.location": security.key}.items() if path}
        if security.key_password is not None:
            options["ssl.key.password"] = security.key_password.reveal()
    if security.is_sasl and security.password is not None:
        options["sasl.mechanism"] = security.mechanism
        options["sasl.username"] = security.username
        options["sasl.password"] = security.password.reveal()
    return options
