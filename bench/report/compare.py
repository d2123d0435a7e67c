"""What changed between two results of the same benchmark: each metric, and whether the conditions were the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.grid import Grid
from bench.result import leaves
from bench.spread import is_spread, number

CONDITIONS = ("machine", "versions", "configuration", "commit")
_RAW = frozenset({"rounds", "runs", "ceiling_runs", "steps", "histogram", "rounds_p50"})
"""Parts of a result that hold single measurements, of which the rest is the summary."""


@dataclass(frozen=True)
class Change:
    """One metric in two results."""

    metric: str
    old: float
    new: float

    @property
    def ratio(self) -> str:
        """New to old, for people."""
        return f"{self.new / self.old:.2f}" if self.old else "-"


@dataclass(frozen=True)
class Comparison:
    """Two results side by side: `differences` are conditions (what, old, new) that were not the same."""

    benchmark: str
    old_date: str
    new_date: str
    differences: Sequence[tuple[str, str, str]]
    changes: Sequence[Change]
    only_old: Sequence[str]
    only_new: Sequence[str]

    @property
    def verdict(self) -> str:
        """Whether the numbers can be held against each other."""
        parts = dict.fromkeys(key.partition(".")[0] for key, _, _ in self.differences)
        if not parts:
            return "Both were taken under the same conditions."
        return f"The conditions differ ({', '.join(parts)}), so a change may have these causes, too:"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """Compare two results of the same benchmark."""
    was, now = (dict(leaves({part: one.get(part) for part in CONDITIONS})) for one in (old, new))
    first, second = (dict(_numbers(one["results"])) for one in (old, new))
    return Comparison(
        new["benchmark"],
        str(old.get("date")),
        str(new.get("date")),
        [(key, str(was.get(key)), str(now.get(key))) for key in {**was, **now} if was.get(key) != now.get(key)],
        [Change(key, first[key], second[key]) for key in first if key in second],
        [key for key in first if key not in second],
        [key for key in second if key not in first],
    )


def is_same_kind(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results can be compared: of one benchmark, and of one of its kinds where it has several."""
    return one["benchmark"] == other["benchmark"] and all(
        one["configuration"].get(kind) == other["configuration"].get(kind) for kind in ("scenario", "over")
    )


def text(found: Comparison) -> str:
    """A comparison for people."""
    lines = [f"{found.benchmark}: {found.old_date} against {found.new_date}", found.verdict]
    lines += [f"  {key}: {old} → {new}" for key, old, new in found.differences]
    changed = [change for change in found.changes if change.old != change.new]
    rows = [[change.metric, number(change.old), number(change.new), change.ratio] for change in changed]
    lines.append(Grid(["", "old", "new", "new/old"], rows).text())
    lines.append(f"the same in both: {len(found.changes) - len(changed)} metrics")
    lines += [f"only in the old one: {key}" for key in found.only_old]
    lines += [f"only in the new one: {key}" for key in found.only_new]
    return "\n".join(lines)


def _numbers(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for path, value in leaves(_without_raw(results)):
        if is_spread(value):
            yield path, float(value["median"])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path, float(value)


def _without_raw(value: Any) -> Any:
    if isinstance(value, Mapping):
        # The number of rounds in a spread is no list of them.
        is_raw = {key for key, inner in value.items() if key in _RAW and isinstance(inner, list | str)}
        return {key: _without_raw(inner) for key, inner in value.items() if key not in is_raw}
    return [_without_raw(item) for item in value] if isinstance(value, list) else value
