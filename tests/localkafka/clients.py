"""Clients of a secure broker, with librdkafka, which names the cause of a refusal at once."""

import time
from collections.abc import Mapping

import confluent_kafka
import pytest

from localkafka import LocalKafka

DEADLINE_S = 20
TOPIC = "numbers"
USERS = {"edge": 'a "quoted" \\ pass=word;', "reader": "another"}
Options = Mapping[str, str]


def tls(kafka: LocalKafka) -> dict[str, str]:
    return {"ssl.ca.location": str(kafka.directory / "client" / "ca.pem")}


def certificate(kafka: LocalKafka) -> dict[str, str]:
    client = kafka.directory / "client"
    return {"ssl.certificate.location": str(client / "client.pem"), "ssl.key.location": str(client / "client.key")}


def login(mechanism: str, user: str = "edge", password: str | None = None) -> dict[str, str]:
    return {
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": USERS[user] if password is None else password,
    }


def send(kafka: LocalKafka, listener: str, protocol: str, options: Options) -> None:
    """Send one record with confluent-kafka; raises KafkaException for the first error of any kind."""
    errors: list[confluent_kafka.KafkaError] = []
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": kafka.listeners[listener],
            "security.protocol": protocol,
            "error_cb": errors.append,
            "log_level": 0,
            **options,
        }
    )
    producer.produce(TOPIC, b"1", on_delivery=lambda error, _: errors.append(error) if error else None)
    deadline = time.monotonic() + DEADLINE_S
    while len(producer) and not errors:
        assert time.monotonic() < deadline, "neither sent nor refused in time"
        producer.poll(0.05)
    if errors:
        producer.purge()
        raise confluent_kafka.KafkaException(errors[0])


def refusal(kafka: LocalKafka, listener: str, protocol: str, options: Options) -> str:
    with pytest.raises(confluent_kafka.KafkaException) as caught:
        send(kafka, listener, protocol, options)
    error = caught.value.args[0]
    return f"{error.name()}: {error.str()}"


def transact(options: Options) -> None:
    producer = confluent_kafka.Producer({**options, "transactional.id": "apps"})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    producer.produce(TOPIC, b"1")
    producer.commit_transaction(DEADLINE_S)


def consume(options: Options) -> str | None:
    """Read in a consumer group until the first record, or the name of the first error."""
    consumer = confluent_kafka.Consumer({**options, "group.id": "apps", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    message = consumer.poll(DEADLINE_S)
    consumer.close()
    assert message is not None, "neither a record nor an error in time"
    error = message.error()
    return None if error is None else error.name()
