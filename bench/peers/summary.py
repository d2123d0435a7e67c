"""What the rounds come to for each system: medians and spreads, and percentiles of all rounds' requests together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench import statistics
from bench.peers.bars import bars
from bench.peers.rounds import Findings, Row
from bench.peers.systems import System
from bench.spread import spread, spreads

PERCENTILES = ("p50", "p90", "p99")
MEASURES = ("images_per_s", "cpu_s_per_1000", "rss_bytes")


def results(systems: Sequence[System], findings: Findings) -> dict[str, Any]:
    """The results of the document; `runs` are without the single requests' latencies."""
    entries = [_entry(system, findings) for system in systems]
    lags = [row["sender_lag_ms"]["p99"] for row in findings.rows if "p99" in row.get("sender_lag_ms", {})]
    return {
        "systems": entries,
        "ceiling": _ceiling(findings.ceilings),
        "sender_lag_p99_ms": spread(lags) if lags else None,
        "bars": [vars(bar) for bar in bars(entries, findings.rows, findings.ceilings)],
        "runs": [{key: value for key, value in row.items() if key != "samples_ms"} for row in findings.rows],
        "ceiling_runs": findings.ceilings,
    }


def _entry(system: System, findings: Findings) -> dict[str, Any]:
    own = [row for row in findings.rows if row["system"] == system.name]
    timed = [row for row in own if row["measurement"] == "latency"]
    drained = [row for row in own if row["measurement"] == "drain"]
    return {
        "name": system.name,
        "title": system.title,
        "kind": system.kind,
        "client": system.client,
        "setting": system.setting,
        "notes": list(system.notes),
        "missing": findings.missing.get(system.name),
        "latency_ms": spreads([row["latency_ms"] for row in timed], PERCENTILES),
        "pooled_ms": _pooled(timed),
        "latency_requests": sum(row["sent"] for row in timed),
        **spreads(drained, MEASURES),
        "lost": sum(row["lost"] for row in own),
        "duplicated": sum(row["duplicated"] for row in own),
    }


def _pooled(rows: Sequence[Row]) -> dict[str, float]:
    return statistics.percentiles(np.concatenate([np.array(row["samples_ms"]) for row in rows])) if rows else {}


def _ceiling(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"batch": rows[0]["batch"], **spreads(list(map(dict, rows)), MEASURES)} if rows else {}
