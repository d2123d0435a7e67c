"""A short run of each fault over a real Kafka; `make faults` is the whole campaign."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.classifier import EXACTLY_ONCE
from edge.pubsub import CLIENTS, CONFLUENT
from tests.faults.campaign import faults
from tests.faults.cluster import CAN_FILL_DISK, Cluster
from tests.faults.experiment import Plan, Result, run
from tests.faults.faults import POISON

pytestmark = pytest.mark.kafka

# Neither list disturbs the other; plans that use the proxy wait for each other.
THROUGH_THE_PROXY: Mapping[str, Plan] = {
    "kills before what was answered is written": Plan(600, 200, faults("kill-unwritten:1:1")),
    "kills, and connections that are cut, stalled and slow": Plan(
        1600, 200, faults("kill-classifier:2,cut:2,stall:1:1,stall-writes:1:1,slow:1:1,poison:40")
    ),
    "the same with the other client": Plan(
        1200, 200, faults("kill-classifier:1,kill-unwritten:1:1,cut:1,stall:1:1,slow:1:1,poison:40"), client=CONFLUENT
    ),
}
IN_THE_GROUP: Mapping[str, Plan] = {
    "members that are evicted, join and leave": Plan(
        2000,
        200,
        faults("stop-classifier:1:7,join-and-leave:3,poison:9"),
        partitions=4,
        classifiers=2,
        keys=16,
        named=False,
    ),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as found:
        yield found


@pytest.fixture(scope="module")
def results(cluster: Cluster) -> Mapping[str, Result]:
    def run_each(plans: Mapping[str, Plan]) -> dict[str, Result]:
        return {name: run(plan, cluster) for name, plan in plans.items()}

    with ThreadPoolExecutor() as pool:
        proxied, grouped = pool.map(run_each, (THROUGH_THE_PROXY, IN_THE_GROUP))
    return proxied | grouped


@pytest.mark.parametrize("name", [*THROUGH_THE_PROXY, *IN_THE_GROUP])
def test_nothing_is_lost_wrong_or_out_of_order_by(results: Mapping[str, Result], name: str) -> None:
    assert_sound(results[name])


def test_a_broker_that_is_killed_stopped_or_whose_disk_is_full_loses_nothing(cluster: Cluster) -> None:
    full_disk = ",full-disk:1:0.1" if CAN_FILL_DISK else ""
    assert_sound(run(Plan(1000, 120, faults(f"kill-broker:1,stop-broker:1:1{full_disk},poison:9")), cluster))


@pytest.mark.parametrize("client", CLIENTS)
def test_exactly_once_nothing_is_lost_or_duplicated_by_kills(cluster: Cluster, client: str) -> None:
    kills = faults("kill-classifier:2,kill-unwritten:1,kill-broker:1,poison:9")
    assert_sound(run(Plan(1000, 120, kills, EXACTLY_ONCE, client=client), cluster))


def test_leaders_and_coordinators_that_move_lose_and_duplicate_nothing() -> None:
    plan = Plan(
        1200,
        120,
        faults("kill-leader:1:1,move-leader:1:1,poison:9"),
        EXACTLY_ONCE,
        partitions=4,
        classifiers=2,
        keys=16,
    )
    with Cluster(3) as cluster:
        assert_sound(run(plan, cluster))


def assert_sound(result: Result) -> None:
    assert result.failures() == []
    assert result.verdict.logged == result.plan.requests
    assert len(result.recoveries) == sum(fault.count for fault in result.plan.faults if fault.name != POISON)
