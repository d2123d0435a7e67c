"""A short run of each fault over a real Kafka; `make faults` is the whole campaign."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.campaign import faults
from tests.faults.cluster import Cluster
from tests.faults.experiment import Plan, Result, run

pytestmark = pytest.mark.kafka

# None of these disturbs the broker: they run beside each other.
BESIDE: Mapping[str, Plan] = {
    "classifiers that are killed, with poison": Plan(1500, 300, faults("kill-classifier:3,poison:40")),
    "connections that are cut, stalled and slow": Plan(1500, 200, faults("cut:2,stall:1:1.5,slow:1:1.5,poison:9")),
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
def beside(cluster: Cluster) -> Mapping[str, Result]:
    with ThreadPoolExecutor() as pool:
        return dict(zip(BESIDE, pool.map(lambda plan: run(plan, cluster), BESIDE.values()), strict=True))


@pytest.mark.parametrize("name", BESIDE)
def test_nothing_is_lost_wrong_or_out_of_order_by(beside: Mapping[str, Result], name: str) -> None:
    result = beside[name]
    assert result.failures() == []
    assert result.verdict.logged == result.plan.requests
    assert len(result.recoveries) == sum(fault.count for fault in result.plan.faults if fault.name != "poison")


def test_a_broker_that_is_killed_stopped_or_whose_disk_is_full_loses_nothing(cluster: Cluster) -> None:
    result = run(Plan(1500, 150, faults("kill-broker:1,stop-broker:1:1,full-disk:1,poison:9")), cluster)
    assert result.failures() == []
    assert result.verdict.logged == 1500
    assert len(result.recoveries) == 3
