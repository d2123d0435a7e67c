"""What is measured around faults, when they come, and what the command line takes."""

from pathlib import Path

import pytest

from edge.classifier import EXACTLY_ONCE
from edge.images import load_images
from edge.model import load_model
from edge.records import Partition, Record
from tests.faults.campaign import BEGIN, CASES, END, faults, write
from tests.faults.cluster import CAN_FILL_DISK
from tests.faults.experiment import Plan
from tests.faults.faults import Injections
from tests.faults.recovery import Injected, Recovery, longest_silence_s, recoveries
from tests.faults.workload import questions
from tests.paths import IMAGES, LENET


def answers(*times: tuple[int, int]) -> list[Record]:
    """Predictions of (number, milliseconds)."""
    return [
        Record(Partition("out", 0), offset, ms, None, b"", [("request-id", str(number).encode())])
        for offset, (number, ms) in enumerate(times)
    ]


def injected(name: str, began_ms: int, over_ms: int) -> Injected:
    return Injected(name, began_ms * 1_000_000, over_ms * 1_000_000)


def test_recovery_counts_new_answers_only_and_the_repeated_ones_until_the_next_fault() -> None:
    found = recoveries(
        [injected("kill", 1000, 1100), injected("cut", 3000, 3000)],
        answers((0, 900), (1, 990), (0, 1500), (1, 1501), (2, 1600), (3, 3250), (2, 3300)),
    )
    assert found == [Recovery("kill", 0.5, 2), Recovery("cut", 0.25, 1)]


def test_a_recovery_that_another_fault_delays_is_not_measured() -> None:
    found = recoveries(
        [injected("kill", 1000, 1100), injected("cut", 1050, 2000), injected("late", 5000, 5000)],
        answers((0, 900), (1, 2100)),
    )
    assert found == [Recovery("kill", None, 0), Recovery("cut", 0.1, 0), Recovery("late", None, 0)]


def test_silence_is_broken_by_new_answers_only() -> None:
    assert longest_silence_s(answers((0, 900), (1, 1000), (0, 1500), (2, 2250))) == 1.25
    assert longest_silence_s([]) == 0


def test_the_same_seed_gives_the_same_moments_and_questions() -> None:
    fault = Injections.parse("kill-classifier:20")
    moments = fault.moments(100.0, 7)
    assert moments == fault.moments(100.0, 7) != fault.moments(100.0, 8)
    assert len(moments) == 20
    assert moments == sorted(moments)
    assert moments[0] >= 5
    assert moments[-1] <= 95
    images, model = load_images(IMAGES), load_model(LENET)
    asked, again, other = (questions(images, model, 300, keys=3, poison=30, seed=seed) for seed in (1, 1, 2))
    shape = [[(q.key, q.value, q.expected) for q in found.values()] for found in (asked, again, other)]
    assert shape[0] == shape[1] != shape[2]
    assert sum(question.expected is None for question in asked.values()) == 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cut", Injections("cut", 1, 0.0)),
        ("stall:3", Injections("stall", 3, 5.0)),
        ("kill-broker:1:60", Injections("kill-broker", 1, 60.0)),
        ("poison:50", Injections("poison", 50, 0.0)),
    ],
)
def test_faults_are_written_as_name_count_and_seconds(text: str, expected: Injections) -> None:
    assert Injections.parse(text) == expected


@pytest.mark.parametrize("text", ["", "flood", "cut:0", "cut:-1", "cut:many", "cut:1:-2", "cut:1:nan"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|count|seconds"):
        Injections.parse(text)


@pytest.mark.parametrize("nodes", [1, 3])
def test_every_case_of_the_campaign_fits_its_cluster(nodes: int) -> None:
    elsewhere = set() if CAN_FILL_DISK else {"a full disk needs Linux"}
    assert {case.plan.misfit(nodes) for case in CASES[nodes]} - elsewhere == {None}


@pytest.mark.parametrize(
    ("plan", "nodes"),
    [
        (Plan(1, 1, faults("cut")), 3),
        (Plan(1, 1, faults("kill-leader")), 1),
        (Plan(1, 1, faults("zombie"), named=False), 1),
        (Plan(1, 1, (), EXACTLY_ONCE, named=False), 1),
    ],
)
def test_a_plan_that_does_not_fit_its_cluster_is_refused(plan: Plan, nodes: int) -> None:
    assert plan.misfit(nodes) is not None


def test_the_table_replaces_only_what_stands_between_its_markers(tmp_path: Path) -> None:
    document = tmp_path / "docs" / "reliability.md"
    write(document, "first")
    document.write_text(f"above\n{document.read_text()}below\n")
    write(document, "second")
    assert document.read_text() == f"above\n# Reliability\n\n{BEGIN}\nsecond\n{END}\nbelow\n"
