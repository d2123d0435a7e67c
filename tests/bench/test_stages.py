"""Stages: what headers and fields say, adding up to the latency."""

import numpy as np
import pytest

from bench.latency import stages
from bench.load.trace import Trace
from tests.bench.answers import Answer, classified, trace_of


def test_stages_add_up_to_the_latency() -> None:
    trace = trace_of([10.0, 20.0])
    trace.first = [classified(trace, 0, 4, 1, 2, 7.5), classified(trace, 1, 5, 0, 12, 17)]
    found = stages.stages_ms(trace)
    expected = np.array([[4, 1, 2, 0.5, 2.5], [5, 0, 12, 0, 3]])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), [10, 20], atol=2e-3)


def test_rounding_is_no_contradiction_but_a_negative_hop_is() -> None:
    trace = trace_of([10.0, 10.0, 10.0])
    rounded = classified(trace, 0, 4, 1.0005, 2, 7)
    trace.first = [rounded, classified(trace, 1, -3, 1, 2, 7), classified(trace, 2, 4, 1, 2, 12)]
    found = stages.stages_ms(trace)
    assert len(found) == 1
    assert found[0, list(stages.STAGES).index("rest")] == 0


@pytest.mark.parametrize("value", [b"", b"[]", b'{"queue_ms": 1}', b'{"queue_ms": null, "infer_ms": 1}'])
def test_an_answer_that_tells_no_stages_has_none(value: bytes) -> None:
    trace = trace_of([10.0] * 20)
    told = {"received-ns": str(int(1e18)), "sent-ns": str(int(1e18))}
    trace.first = [Answer("a", value, **told), Answer("b", b'{"queue_ms": 1, "infer_ms": 1}'), *[None] * 18]  # type: ignore[list-item]
    assert stages.stages_ms(trace).shape == (0, len(stages.STAGES))
    assert stages.summary(stages.stages_ms(trace)) == {}


def test_the_summary_names_each_stage() -> None:
    trace = trace_of([10.0] * 20)
    trace.first = [classified(trace, number, 4, 1, 2, 7) for number in range(20)]
    found = stages.summary(stages.stages_ms(trace))
    assert list(found) == list(stages.STAGES)
    assert found["inference"]["p50"] == pytest.approx(2, rel=1e-3)
    assert "p99" not in found["inference"]


def test_a_trace_of_nothing_has_no_stages() -> None:
    assert len(stages.stages_ms(Trace(np.arange(3.0)))) == 0
