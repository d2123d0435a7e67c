"""Every error that a user of `localkafka` can meet: one root, each leaf with its exit code."""

import click


class LocalKafkaError(click.ClickException):
    """Root of all errors of `localkafka`: its message is one sentence, perhaps with the broker's last log lines."""

    exit_code = 70


class BrokerError(LocalKafkaError):
    """Kafka cannot be fetched, does not start, or stopped by itself: the message says which, and what to do."""

    exit_code = 69


class BadConfigurationError(LocalKafkaError):
    """The port or the data directory cannot be used: choose another."""

    exit_code = 78
