"""What tests/conftest.py is to the tests of `edge`, in the emulated Python: the broker is one outside of it."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import contract, samples

__all__ = ["contract", "kafka", "samples"]

SERVERS, DIRECTORY = "ARM64_KAFKA", "ARM64_KAFKA_DIRECTORY"


@dataclass(frozen=True)
class OutsideKafka:
    """What the tests use of a `LocalKafka`."""

    bootstrap_servers: str
    directory: Path


@pytest.fixture(scope="session")
def kafka() -> OutsideKafka:
    """The broker that `python -m tests.arm64` has started."""
    return OutsideKafka(os.environ[SERVERS], Path(os.environ[DIRECTORY]))
