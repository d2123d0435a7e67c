"""Finding the requests of predictions, with bounded memory: on the in-memory client."""

import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from edge import requested
from edge.memory_client import MemoryClient, MemorySource
from edge.pubsub import READ_LIMIT
from edge.records import Partition, Record
from edge.requested import Requests

PLACE = Partition("requests", 0)


@pytest.fixture
def client() -> MemoryClient:
    return MemoryClient()


@pytest.fixture
def requests(client: MemoryClient) -> Iterator[Requests]:
    with Requests(client, "requests", "consumer.images", threading.Event()) as found:
        yield found


def send(client: MemoryClient, *names: str, value: bytes = b"pixels") -> None:
    for name in names:
        client.append("requests", value, headers=[("request-id", name.encode())])


def offset(record: Record | None) -> int | None:
    return None if record is None else record.offset


def test_each_request_is_found_once_in_any_order_and_by_its_place_if_it_has_no_id(
    client: MemoryClient, requests: Requests
) -> None:
    send(client, "a", "b")
    client.append("requests", b"pixels")
    assert [offset(requests.find(name)) for name in ("b", "a", "requests-0-2", "a", "never")] == [1, 0, 2, None, None]
    send(client, "late")
    assert offset(requests.find("late")) == 3


def test_of_two_requests_with_one_id_the_newer_is_found(client: MemoryClient, requests: Requests) -> None:
    send(client, "a", "b", "a")
    assert offset(requests.find("b")) == 1
    assert offset(requests.find("a")) == 2


def test_requests_are_read_no_further_than_predictions_ask_for(client: MemoryClient, requests: Requests) -> None:
    send(client, *map(str, range(3 * READ_LIMIT)))
    assert offset(requests.find("0")) == 0
    assert len(requests._waiting) == READ_LIMIT - 1


def test_the_oldest_are_forgotten_when_there_are_too_many(
    client: MemoryClient, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requested, "MAX_BYTES", 100_000)
    send(client, *map(str, range(300)), value=bytes(1000))
    assert requests.find("0") is None
    assert offset(requests.find("299")) == 299
    kept = len(requests._waiting)
    assert 30 < kept < 99
    assert offset(requests.find(str(299 - kept))) == 299 - kept
    assert requests.find(str(298 - kept)) is None
    assert 0 < requests._bytes < 100_000
    for number in range(300 - kept, 299):
        assert offset(requests.find(str(number))) == number
    assert (requests._bytes, requests._waiting) == (0, {})


def test_headers_and_ids_count_as_memory_too(
    client: MemoryClient, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requested, "MAX_BYTES", 100_000)
    for number in range(20):
        name = f"{number}-{'x' * 10_000}".encode()
        client.append("requests", b"", headers=[("request-id", name), ("note", bytes(10_000))])
    requests.find("never")
    assert len(requests._waiting) == 4


def test_a_later_start_goes_on_behind_the_last_that_was_found(client: MemoryClient) -> None:
    send(client, *"abcd")
    for name, place in (("b", 2), ("d", 4)):
        with Requests(client, "requests", "consumer.images", threading.Event()) as found:
            assert found.find(name) is not None
            assert found.find("a") is None or name == "b"
        assert client.committed["consumer.images", PLACE] == place


def test_unanswered_are_those_that_others_have_overtaken_for_long(
    client: MemoryClient, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    send(client, "before", "first", "lost", "slow", "second", "ahead", "third")
    assert offset(requests.find("first")) == 1
    clock[0] += requested.LOST_S + 1
    assert requests.find("second") is not None
    # Not the one before the first that was found, nor those that nothing has overtaken.
    assert requests.unanswered == 2
    assert requests.find("slow") is not None
    clock[0] += 1
    assert requests.find("third") is not None
    assert requests.unanswered == 2
    assert requests.find("ahead") is not None
    clock[0] += 1
    send(client, "fourth")
    assert requests.find("fourth") is not None
    assert requests.unanswered == 1


def test_what_is_gone_is_looked_for_no_longer_than_all_the_rest_takes(
    client: MemoryClient, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, waits = [1000.0], list[float]()

    def read(_: MemorySource, __: int, timeout_s: float) -> list[Record]:
        waits.append(timeout_s)
        clock[0] += timeout_s
        return []

    monkeypatch.setattr(MemorySource, "read", read)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for pause_s in (10.0, 0.0, 0.1, 10.0):
        clock[0] += pause_s
        assert requests.find("gone") is None
    assert waits == pytest.approx([requested.PATIENCE_S, 0.0, 0.05, requested.PATIENCE_S])


def test_a_member_to_whom_the_group_gives_nothing_waits_for_it_once(
    client: MemoryClient, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]

    def read(_: MemorySource, __: int, timeout_s: float) -> list[Record]:
        clock[0] += max(timeout_s, 0.001)
        return []

    def lag(_: MemorySource) -> Mapping[Partition, int]:
        return {}

    monkeypatch.setattr(MemorySource, "read", read)
    monkeypatch.setattr(MemorySource, "lag", property(lag))
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for longest_s in (requested.JOIN_S + 1, 1.0, 1.0):
        started = clock[0]
        assert requests.find("gone") is None
        assert clock[0] - started < longest_s
    assert clock[0] - 1000.0 > requested.JOIN_S


def test_a_partition_that_goes_to_another_member_takes_its_place_with_it(client: MemoryClient) -> None:
    send(client, "a", "b")
    with Requests(client, "requests", "consumer.images", threading.Event()) as found:
        assert found.find("b") is not None
        assert found._on_revoked([PLACE, Partition("requests", 7)]) == {PLACE: 2}
        assert found._on_revoked([PLACE]) == {}
        client.committed["consumer.images", PLACE] = 9
    assert client.committed["consumer.images", PLACE] == 9


def test_the_search_ends_when_the_app_is_told_to_stop(client: MemoryClient) -> None:
    stop = threading.Event()
    stop.set()
    send(client, *map(str, range(3 * READ_LIMIT)))
    with Requests(client, "requests", "consumer.images", stop) as found:
        assert found.find("never") is None
        assert len(found._waiting) == READ_LIMIT
