"""The bars that we have set ourselves, each held against what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.peers.systems import ECHO, FOR_LATENCY, OURS, PEER
from edge.pubsub import CONFLUENT, KAFKA_PYTHON

Entry = Mapping[str, Any]
Rates = Mapping[int, float]
"""Images a second, by round."""

SAME_LEAGUE = ("kafka-streams", "faststream-confluent", "faststream-aiokafka", "mlserver")
"""Peers that the default client's latency is held against; the confluent one's is held against all of them."""


@dataclass(frozen=True)
class Bar:
    """`measured` should be at least `needed`, or at most where `is_limit`; None could not be measured."""

    bar: str
    measured: float | None
    needed: float
    aim: float | None = None
    is_limit: bool = False
    met: bool | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "met", self._is_met())

    def _is_met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.needed if self.is_limit else self.measured >= self.needed


def bars(entries: Sequence[Entry], rows: Sequence[Entry], ceilings: Sequence[Entry]) -> list[Bar]:
    """Those of the systems that were asked for."""
    known = {entry["name"]: entry for entry in entries}
    drains = [row for row in rows if row["measurement"] == "drain"]
    rates = {name: _rates([row for row in drains if row["system"] == name]) for name in known}
    return [*_rate_bars(known, rates, _rates(ceilings)), *_latency_bars(known)]


def _rate_bars(known: Mapping[str, Entry], rates: Mapping[str, Rates], limit: Rates) -> list[Bar]:
    peers = [entry for entry in known.values() if entry["kind"] == PEER and "images_per_s" in entry]
    # Ours is one setting, which answers at once: a rate that is had by answering late is another thing.
    prompt = [entry for entry in peers if entry["setting"] == FOR_LATENCY]
    found = []
    for client, needed, aim in ((KAFKA_PYTHON, 1.5, 2.0), (CONFLUENT, 3.0, 4.0)):
        own = known.get(f"{OURS}-{client}")
        for best, what in ((_fastest(peers), "of all peers"), (_fastest(prompt), "of those set up for latency")):
            if own is not None and best is not None:
                text = f"images/s: {own['title']} ÷ {best['title']}, the fastest {what}"
                found.append(Bar(text, _ratio(rates[own["name"]], rates[best["name"]]), needed, aim))
    default, echo = known.get(f"{OURS}-{KAFKA_PYTHON}"), known.get(f"{ECHO}-{KAFKA_PYTHON}")
    if default is not None and echo is not None:
        text = f"images/s: {default['title']} ÷ {echo['title']}"
        found.append(Bar(text, _ratio(rates[default["name"]], rates[echo["name"]]), 0.8))
    confluent = known.get(f"{OURS}-{CONFLUENT}")
    if confluent is not None:
        text = f"images/s: {confluent['title']} ÷ onnxruntime alone"
        found.append(Bar(text, _ratio(rates[confluent["name"]], limit), 0.6, 0.75))
    return found


def _latency_bars(known: Mapping[str, Entry]) -> list[Bar]:
    found = []
    for client in (KAFKA_PYTHON, CONFLUENT):
        own, echo = known.get(f"{OURS}-{client}"), known.get(f"{ECHO}-{client}")
        if own is None:
            continue
        if echo is not None:
            found.append(_latency_bar("p50", own, echo, 1.15))
        for peer in known.values():
            if peer["kind"] == PEER and (client == CONFLUENT or peer["name"] in SAME_LEAGUE):
                found += [_latency_bar(percentile, own, peer, 1.0) for percentile in ("p50", "p99")]
    return found


def _latency_bar(percentile: str, own: Entry, other: Entry, needed: float) -> Bar:
    above, below = own["pooled_ms"].get(percentile), other["pooled_ms"].get(percentile)
    measured = above / below if above is not None and below else None
    return Bar(f"{percentile}: {own['title']} ÷ {other['title']}", measured, needed, is_limit=True)


def _fastest(entries: Sequence[Entry]) -> Entry | None:
    return max(entries, key=lambda entry: float(entry["images_per_s"]["median"]), default=None)


def _rates(rows: Sequence[Entry]) -> Rates:
    return {row["round"]: row["images_per_s"] for row in rows}


def _ratio(above: Rates, below: Rates) -> float | None:
    """The median over the rounds; within one, both sides saw the same machine."""
    found = [rate / below[number] for number, rate in above.items() if below.get(number)]
    return median(found) if found else None
