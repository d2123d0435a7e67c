"""A real Apache Kafka for demo, tests and bench, from pip packages alone: no Java, Maven or Docker."""

from localkafka.broker import LocalKafka
from localkafka.errors import BadConfigurationError, BrokerError, LocalKafkaError
from localkafka.jars import KAFKA_VERSION

__all__ = ["KAFKA_VERSION", "BadConfigurationError", "BrokerError", "LocalKafka", "LocalKafkaError"]
