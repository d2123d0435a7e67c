"""What the runs of one system come to: counts, latencies, stages, and the ratio to another system's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import statistics
from bench.latency import stages
from bench.load.trace import Trace

Samples = npt.NDArray[np.float64]


def counts(trace: Trace, late_after_ms: float) -> dict[str, int]:
    """How many were sent and answered, and how many answers did not come, came more than once, or late."""
    return {
        "sent": int(trace.is_sent.sum()),
        "received": int((trace.answers > 0).sum()),
        "lost": trace.missing,
        "duplicated": int((trace.answers > 1).sum()),
        "late": int((latency_ms(trace) > late_after_ms).sum()),
    }


def latency_ms(trace: Trace) -> Samples:
    """From the intended sending to the first answer, of the requests that were answered."""
    return _known((trace.received_s - trace.intended_s) * 1000)


def lag_ms(trace: Trace) -> Samples:
    """From when a request was due until it was sent, of those that were."""
    return _known((trace.sent_s - trace.intended_s) * 1000)


def of_systems(traces: Mapping[str, Sequence[Trace]], late_after_ms: float) -> dict[str, Any]:
    """The result of rounds of several systems."""
    systems = {name: of_rounds(rounds, late_after_ms) for name, rounds in traces.items()}
    return {"ratio_to_echo": ratio(systems), "systems": systems}


def of_rounds(traces: Sequence[Trace], late_after_ms: float) -> dict[str, Any]:
    """All rounds of a system together, and each by itself; latencies in milliseconds."""
    rounds = [{**counts(t, late_after_ms), "latency_ms": statistics.percentiles(latency_ms(t))} for t in traces]
    latencies = np.concatenate([latency_ms(trace) for trace in traces])
    staged = np.concatenate([stages.stages_ms(trace) for trace in traces])
    return {
        **{name: sum(each[name] for each in rounds) for name in counts(traces[0], late_after_ms)},
        "latency_ms": statistics.percentiles(latencies),
        "latency_from_actual_send_ms": statistics.percentiles(
            np.concatenate([_known((trace.received_s - trace.sent_s) * 1000) for trace in traces])
        ),
        "sender_lag_ms": statistics.percentiles(np.concatenate([lag_ms(trace) for trace in traces])),
        "stages_ms": stages.summary(staged),
        "staged": len(staged),
        "histogram": statistics.encoded(latencies),
        "rounds": rounds,
    }


def ratio(systems: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """How many times as long the classifier took as its echo, by percentile, and of the median in each round."""
    if "echo" not in systems:
        return {}
    above, below = systems["classifier"], systems["echo"]
    rounds = [
        _quotients(one["latency_ms"], other["latency_ms"]).get("p50")
        for one, other in zip(above["rounds"], below["rounds"], strict=True)
    ]
    return {**_quotients(above["latency_ms"], below["latency_ms"]), "rounds_p50": rounds}


def _quotients(above: Mapping[str, float], below: Mapping[str, float]) -> dict[str, float]:
    names = [name for name in statistics.SAMPLES_NEEDED if name in above and below.get(name)]
    return {name: round(above[name] / below[name], 3) for name in names}


def _known(samples: Samples) -> Samples:
    return samples[~np.isnan(samples)]
