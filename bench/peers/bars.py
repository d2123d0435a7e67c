"""The bars that we have set ourselves, each held against what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.peers.systems import ECHO, KAFKA_PYTHON, OURS, PEER

Entry = Mapping[str, Any]
CONFLUENT = "confluent"
NO_WORSE = ("kafka-streams", "faststream-confluent", "faststream-aiokafka", "mlserver")
"""Peers that the default client's latency is compared with; Quix Streams is on librdkafka, too."""


@dataclass(frozen=True)
class Bar:
    """`measured` should be at least `needed`, or at most where `is_limit`; None was not measured."""

    bar: str
    measured: float | None
    needed: float
    aim: float | None = None
    is_limit: bool = False
    met: bool | None = None

    def __post_init__(self) -> None:
        if self.measured is not None:
            met = self.measured <= self.needed if self.is_limit else self.measured >= self.needed
            object.__setattr__(self, "met", met)


def bars(entries: Sequence[Entry], rows: Sequence[Entry], ceilings: Sequence[Entry]) -> list[Bar]:
    """All that these results can speak of; ratios of rates are taken within a round, where both saw one machine."""
    rates = {
        entry["name"]: {
            row["round"]: row["images_per_s"]
            for row in rows
            if row["system"] == entry["name"] and row["measurement"] == "drain"
        }
        for entry in entries
    }
    limit = {row["round"]: row["images_per_s"] for row in ceilings}
    best, fastest = _best(entries)
    own, echo = (rates.get(f"{kind}-{KAFKA_PYTHON}", {}) for kind in (OURS, ECHO))
    confluent = rates.get(f"{OURS}-{CONFLUENT}", {})
    peer = rates.get(best, {})
    return [
        Bar(f"images/s of ours, {KAFKA_PYTHON}, against the best peer's ({fastest})", _ratio(own, peer), 1.5, 2.0),
        Bar(f"images/s of ours, {KAFKA_PYTHON}, against its own echo's", _ratio(own, echo), 0.8),
        Bar(f"images/s of ours, {CONFLUENT}, against the best peer's ({fastest})", _ratio(confluent, peer), 3.0, 4.0),
        Bar(f"images/s of ours, {CONFLUENT}, against onnxruntime alone", _ratio(confluent, limit), 0.6, 0.75),
        *_latencies(entries),
    ]


def _best(entries: Sequence[Entry]) -> tuple[str, str]:
    peers = [entry for entry in entries if entry["kind"] == PEER and "images_per_s" in entry]
    if not peers:
        return "", "none measured"
    best = max(peers, key=lambda entry: float(entry["images_per_s"]["median"]))
    return best["name"], best["title"]


def _ratio(above: Mapping[int, float], below: Mapping[int, float]) -> float | None:
    found = [rate / below[number] for number, rate in above.items() if below.get(number)]
    return median(found) if found else None


def _latencies(entries: Sequence[Entry]) -> list[Bar]:
    found = {entry["name"]: entry for entry in entries}
    bars = []
    for client in (KAFKA_PYTHON, CONFLUENT):
        own, echo = found.get(f"{OURS}-{client}"), found.get(f"{ECHO}-{client}")
        text = f"p50 of ours, {client}, against its own echo's"
        bars.append(Bar(text, _quotient(own, echo, "p50"), 1.15, is_limit=True))
        for peer in entries:
            if peer["kind"] == PEER and (client == CONFLUENT or peer["name"] in NO_WORSE):
                for name in ("p50", "p99"):
                    text = f"{name} of ours, {client}, against {peer['title']}'s"
                    bars.append(Bar(text, _quotient(own, peer, name), 1.0, is_limit=True))
    return bars


def _quotient(above: Entry | None, below: Entry | None, name: str) -> float | None:
    values = [entry["pooled_ms"].get(name) if entry else None for entry in (above, below)]
    return values[0] / values[1] if values[0] is not None and values[1] else None
