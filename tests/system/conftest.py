"""Fresh topics for each test."""

import pytest

from localkafka import LocalKafka
from tests.system.wire import Wire, wire_on


@pytest.fixture
def wire(kafka: LocalKafka) -> Wire:
    """Fresh topics on the session's broker."""
    return wire_on(kafka)
