"""What the rounds at all points of a cost curve come to, and how it is shown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.grid import Grid
from bench.scaling.curves import AXES, COUNTED, MEASURES
from bench.spread import shown, spreads

Row = dict[str, Any]


def summary(over: str, runs: Sequence[Row]) -> dict[str, Any]:
    """The spread of each measure at each point; lost and duplicated are counted over all rounds."""
    axis = AXES[over]
    rows = []
    for place in dict.fromkeys((row["series"], row[axis.key]) for row in runs):
        same = [row for row in runs if (row["series"], row[axis.key]) == place]
        counted = {key: sum(row[key] for row in same) for key in COUNTED}
        rows.append({axis.key: place[1], "series": place[0], **spreads(same, MEASURES), **counted})
    return {
        "over": over,
        "axis": axis.key,
        "title": axis.title,
        "measures": dict(MEASURES),
        "rows": sorted(rows, key=lambda row: (row["series"], row[axis.key])),
        "runs": list(runs),
    }


def grid(results: Mapping[str, Any]) -> Grid:
    """The result for people."""
    rows = results["rows"]
    measures = {key: title for key, title in results["measures"].items() if any(key in row for row in rows)}
    has_series = any(row["series"] for row in rows)
    head = [results["title"], *measures.values(), "lost", "twice", *(["of"] if has_series else [])]
    return Grid(head, [_line(row, results["axis"], measures, has_series) for row in rows], words=int(has_series))


def _line(row: Row, axis: str, measures: Iterable[str], has_series: bool) -> list[str]:
    cells = [shown(row.get(key), _digits(row.get(key))) for key in measures]
    ends = [*(str(row[key]) for key in COUNTED), *([row["series"]] if has_series else [])]
    return [f"{row[axis]:,}", *cells, *ends]


def _digits(found: Mapping[str, float] | None) -> int:
    return 0 if found is None or found["median"] >= 1000 else 1 if found["median"] >= 10 else 4
