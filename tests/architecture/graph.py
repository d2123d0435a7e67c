"""The imports as a picture shows them: between packages, and between groups of edge's modules."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tests.architecture.imports import Import, imports, packages

GROUPS: dict[str, Sequence[str]] = {
    "apps": ("classifier", "consumer", "counter", "deadletter", "doctor", "query", "scripts"),
    "query: sense and send": (
        *("folder", "forward", "images", "outbox", "pictures", "progressbar"),
        *("sensed", "sensing", "spool*"),
    ),
    "options of the loop": (*("drift", "escalation", "exposition", "freshness", "health", "metrics*", "pin", "swap"),),
    "the loop": ("hooks", "inference", "rejections", "service"),
    "tracing": ("traced", "tracing"),
    "delivery": ("delivery", "progress", "transactions"),
    "consumer: tell and draw": ("drawn", "halfblocks", "raster", "reading", "requested", "stats"),
    "doctor: checks": ("checks_*", "preflight"),
    "shared by the apps": ("cli", "cluster*", "configuration", "logs", "statusline", "tally", "terminal"),
    "wire format": ("codec", "letter", "pixels"),
    "model": ("contract", "model", "onnxfile"),
    "parsers": ("jsontext", "npy", "onnxschema", "protobuf", "recordbatch"),
    "Pub/Sub": ("memory_client", "pubsub"),
    "protocols": ("records", "topics"),
    "kafka-python": ("kafka_*",),
    "librdkafka": ("confluent_*",),
    "connection": ("ahead", "login", "outage", "probe", "scram", "security", "servers", "wire"),
    "errors": ("errors",),
}
"""Where each module of edge belongs; a new one is put here."""

Edges = dict[tuple[str, str], bool]
"""Who imports whom; True when only late, in a function."""


def group_of(module: str) -> str:
    """The group of a module of edge. Raises LookupError when it has none, or more than one."""
    name = module.removeprefix("edge.")
    (group,) = [group for group, patterns in GROUPS.items() if any(fnmatchcase(name, each) for each in patterns)] or [
        ""
    ]
    if not group:
        raise LookupError(f"put edge/{name}.py into GROUPS in tests/architecture/graph.py")
    return group


def between_packages(found: Iterable[Import]) -> Edges:
    """Imports from package to package."""
    return _merged((i.importer.partition(".")[0], i.imported.partition(".")[0], i.is_late) for i in found)


def between_groups(found: Iterable[Import]) -> Edges:
    """Imports from group to group of edge's modules."""
    inner = [i for i in found if i.importer.startswith("edge.") and i.imported.startswith("edge.")]
    return _merged((group_of(i.importer), group_of(i.imported), i.is_late) for i in inner)


def reduced(edges: Edges) -> Edges:
    """Without the late ones, and without those that lead where others lead, too."""
    early = [pair for pair, is_late in edges.items() if not is_late]
    below = {name: _reached(name, early) for pair in early for name in pair}
    return {
        (upper, lower): False
        for upper, lower in early
        if not any(lower in below[other] for start, other in early if start == upper and other != lower)
    }


def depths(names: Iterable[str], edges: Edges) -> Mapping[str, int]:
    """How many steps each is above those that import nothing. Raises RecursionError when they go in a circle."""
    early = [pair for pair, is_late in edges.items() if not is_late]

    @functools.cache
    def depth(name: str) -> int:
        return max((depth(lower) + 1 for upper, lower in early if upper == name), default=0)

    return {name: depth(name) for name in names}


def described() -> dict[str, Any]:
    """All that the picture is made of, as JSON has it."""
    found = imports()
    modules = sorted({name for i in found for name in i[:2] if name.startswith("edge.")})
    return {
        "packages": packages(),
        "between packages": _listed(between_packages(found)),
        "groups": {group: [m.removeprefix("edge.") for m in modules if group_of(m) == group] for group in GROUPS},
        "between groups": _listed(between_groups(found)),
    }


def _listed(edges: Edges) -> list[list[str]]:
    return sorted([upper, lower, "late" if is_late else "early"] for (upper, lower), is_late in edges.items())


def _merged(triples: Iterable[tuple[str, str, bool]]) -> Edges:
    edges: Edges = {}
    for upper, lower, is_late in triples:
        if upper != lower:
            edges[upper, lower] = is_late and edges.get((upper, lower), True)
    return edges


def _reached(start: str, pairs: Sequence[tuple[str, str]]) -> set[str]:
    reached, new = set[str](), {start}
    while new:
        new = {lower for upper, lower in pairs if upper in new} - reached
        reached |= new
    return reached
