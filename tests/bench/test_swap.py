"""Swaps under load over a real Kafka with a real classifier, and how the bench judges what came of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.load.trace import Trace
from bench.rolled import rolled
from bench.swapped import Replacement, Swap, replacements, results
from edge.errors import BadModelError
from edge.images import Images
from edge.model import load_model, load_model_bytes
from localkafka import LocalKafka
from tests.bench.answers import Answer
from tests.paths import LENET
from tests.system.processes import run

DATA = LENET.read_bytes()


@pytest.mark.kafka
def test_under_load_nothing_is_lost_every_answer_names_its_maker_and_bad_files_are_refused(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    output = tmp_path / "swap.json"
    pace = ["--swaps", "6", "--bad", "2", "--rate", "200", "--interval", "0.1", "--quiet", "0.5", "--within", "1000"]
    ended = run("bench.swap", *pace, "--output", str(output), "--bootstrap-servers", kafka.bootstrap_servers)
    found = json.loads(output.read_text())["results"]
    bars = {bar["bar"]: bar["is_kept"] for bar in found["bars"]}
    # So few requests have no p99, and that is no success.
    assert bars.pop("p99 during a swap, of that before") is False
    assert all(bars.values()), ended.log
    assert (ended.process.returncode, ended.errors[-1]) == (1, "missed: p99 during a swap, of that before")
    assert (found["lost"], found["duplicated"], found["wrong"], found["outdated"]) == (0, 0, 0, 0)
    assert (found["served"], found["refused"]) == (4, 2)
    assert len(found["answers_by_model"]) == 5
    assert sum(found["answers_by_model"].values()) == found["sent"] == 1440
    assert found["rss_peak_bytes"] >= found["rss_after_bytes"] > 30e6
    assert ended.log.count("Error") == 0


def test_a_variant_answers_as_the_model_does_but_for_its_classes(samples: Images) -> None:
    images = samples.image.reshape(-1, 28, 28, 1)
    own = load_model(LENET).infer(images)
    for steps in (0, 3, 13):
        np.testing.assert_array_equal(load_model_bytes(rolled(DATA, steps), "").infer(images), np.roll(own, steps, 1))


def test_good_files_follow_one_another_unlike_and_bad_ones_of_each_kind_lie_between() -> None:
    files = replacements(DATA, 20, 3)
    assert [number for number, file in enumerate(files) if not file.is_good] == [6, 13, 19]
    assert len({file.name for file in files}) == 20
    reasons = []
    for file in files:
        if file.is_good:
            load_model_bytes(file.data, "")
            continue
        try:
            reasons.append(load_model_bytes(file.data, "").contract.name)
        except BadModelError as error:
            reasons.append(error.message)
    assert "truncated" in reasons[0]
    assert "otherwise than at export" in reasons[1]
    assert reasons[2] == "colour"


class Case:
    """Three swaps, the last one bad, in a run of ten requests a second for six seconds; all goes well."""

    def __init__(self, samples: Images) -> None:
        self.images = samples
        self.files = [*replacements(DATA, 2, 0), Replacement(DATA[:1000], False)]
        self.trace = Trace(1000.0 + np.arange(60) / 10)
        self.trace.sent_s[:] = self.trace.intended_s
        self.trace.received_s[:] = self.trace.intended_s + 0.01
        self.trace.answers[:] = 1
        self.swaps = [Swap(file, 1001.95 + n, 0.5, [(1002.25 + n, file.is_good)]) for n, file in enumerate(self.files)]
        self.models = [load_model(LENET)] + [load_model_bytes(file.data, "") for file in self.files[:2]]
        for number in range(60):
            self.answered(number, 0 if number < 22 else 1 if number < 32 else 2)

    def answered(self, number: int, maker: int, name: int | None = None, **other: Any) -> None:
        """The answer to a request by one model, maybe under another one's name."""
        (row,) = self.models[maker].infer(self.images.image[number].reshape(1, 28, 28, 1))
        document = {
            "class": int(row.argmax()),
            "confidence": round(float(row.max()), 6),
            "sha256": self.models[maker if name is None else name].sha256,
            **other,
        }
        answer: Any = Answer(self.trace.name(number), json.dumps(document).encode())
        self.trace.first[number] = answer

    def missed(self) -> list[str]:
        """The bars that are not kept, but for that of the p99, for which the requests are too few."""
        files = [DATA, *(file.data for file in self.files)]
        found = results(self.trace, self.swaps, files, self.images, 0.1, 2.0)
        return [bar["bar"] for bar in found["bars"] if not bar["is_kept"]][:-1]


@pytest.fixture
def case(samples: Images) -> Case:
    return Case(samples)


def test_what_goes_well_keeps_all_bars(case: Case) -> None:
    assert case.missed() == []


@pytest.mark.parametrize("number", [5, 30, 55])
def test_an_answer_under_another_models_name_is_found(case: Case, number: int) -> None:
    maker = 0 if number < 22 else 1 if number < 32 else 2
    case.answered(number, (maker + 1) % 3, maker)
    assert case.missed() == ["answers under a wrong model's name"]


def test_an_answer_of_another_confidence_or_of_an_unknown_or_refused_model_is_found(case: Case) -> None:
    name = "answers under a wrong model's name"
    case.answered(5, 0, confidence=0.1)
    assert case.missed() == [name]
    case.answered(5, 0, sha256="0" * 12)
    assert case.missed() == [name]
    case.answered(5, 0, sha256=case.files[2].name)
    assert case.missed() == [name]


def test_an_answer_by_the_old_model_once_the_new_one_serves_is_found(case: Case) -> None:
    case.answered(28, 0)
    assert case.missed() == ["answers by a model that was replaced"]


def test_who_answers_between_the_replacement_and_the_classifiers_line_is_open(case: Case) -> None:
    case.answered(21, 1)
    case.answered(20, 0)
    assert case.missed() == []


def test_a_lost_request_is_found(case: Case) -> None:
    case.trace.answers[3], case.trace.first[3] = 0, None
    assert case.missed() == ["lost requests"]


@pytest.mark.parametrize(
    ("number", "told", "bar"),
    [
        (0, [], "good files served"),
        (0, [(1002.25, False)], "good files served"),
        (0, [(1002.25, True), (1002.5, False)], "good files served"),
        (2, [], "bad files refused"),
        (2, [(1004.25, False), (1004.35, False)], "bad files refused"),
    ],
)
def test_a_file_that_is_wrongly_judged_or_told_twice_is_found(
    case: Case, number: int, told: list[tuple[float, bool]], bar: str
) -> None:
    swap = case.swaps[number]
    case.swaps[number] = Swap(swap.file, swap.begun_s, swap.quiet_s, told)
    assert case.missed() == [bar]


@pytest.mark.parametrize(("during_ms", "is_kept"), [(20.0, True), (21.0, False)])
def test_the_p99_during_swaps_is_compared_with_that_before(samples: Images, during_ms: float, is_kept: bool) -> None:
    trace = Trace(1000.0 + np.arange(4000) / 1000)
    trace.answers[:] = 1
    latencies = np.full(4000, 10.0)
    latencies[2100:] = during_ms
    trace.received_s[:] = trace.intended_s + latencies / 1000
    swap = Swap(Replacement(DATA, True), 1002.0, 1.0, [(1003.0, True)])
    found = results(trace, [swap], [DATA], samples, 0.1, 2.0)
    assert found["during_requests"] == 1100
    assert found["before_ms"]["p99"] == pytest.approx(10, rel=0.01)
    assert found["bars"][-1]["is_kept"] is is_kept
