"""Tables of results in a document: each between two comments that name its file, so that it can be written again."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import plan, startup, throughput
from bench.grid import Grid
from bench.peers import table as peers
from bench.report.page import flat
from bench.result import is_table
from bench.scaling import table as scaling
from bench.spread import is_spread, number, shown
from edge.errors import BadDataError

Result = Mapping[str, Any]
_PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")


def written(document: str, name: str, result: Result) -> str:
    """The document with the table of a result between `<!-- bench:NAME -->` and `<!-- /bench -->`.

    `<!-- bench:NAME short -->` asks for the medians alone, where the table has spreads and notes.
    Raises: BadDataError when it has no such place.
    """
    place = re.compile(rf"(<!-- bench:{re.escape(name)}( short)? -->\n).*?(<!-- /bench -->)", re.DOTALL)
    if not place.search(document):
        raise BadDataError(
            f"the document has no place for {name}: put <!-- bench:{name} --> and <!-- /bench --> into it"
        )
    return place.sub(lambda found: f"{found[1]}{block(result, is_short=bool(found[2]))}\n{found[3]}", document)


def block(result: Result, is_short: bool = False) -> str:
    """The table of a result, with where it comes from."""
    kind, results = result["benchmark"], result["results"]
    if kind == "peers":
        shown_as = peers.short(results) if is_short else peers.markdown(results)
    else:
        shown_as = _GRIDS.get(kind, _any)(results).markdown()
    return f"{shown_as}\n\n{origin(result)}"


def origin(result: Result) -> str:
    """Command, machine, versions, commit and date in one line."""
    machine, versions = result["machine"], result["versions"]
    names = [f"Python {versions['python']}", f"Apache Kafka {versions['kafka']}"]
    names += [f"{name} {value}" for name, value in versions.items() if name not in ("python", "kafka")]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system'].partition('-')[0]}"
    when = f"commit {result['commit']}, {result['date'][:10]}"
    command = result.get("command", f"bench.{result['benchmark']}")
    return f"`{command}` ({where}; {', '.join(names)}; {when})"


def _latency(results: Result) -> Grid:
    systems: Mapping[str, Result] = results["systems"]
    rows = []
    for name, system in systems.items():
        found = system.get("latency_ms", {})
        rates = [_cell(system.get(key)) for key in ("rate_per_s", "images_per_s")]
        rows.append([name, *(_cell(found.get(key)) for key in _PERCENTILES), *rates, *_counts(system)])
    head = ["ms from the intended send", *_PERCENTILES, "requests/s", "images/s", "lost", "twice"]
    return _without_empty(Grid(head, rows))


def _any(results: Result) -> Grid:
    """The first table in a result that is not known here."""
    items: Sequence[Result] = next((value for value in results.values() if is_table(value)), [results])
    rows = [dict(flat(item)) for item in items]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return Grid(keys, [[_cell(row.get(key)) for key in keys] for row in rows])


def _counts(system: Result) -> list[str]:
    return [_cell(system.get(key)) for key in ("lost", "duplicated")]


def _cell(value: Any) -> str:
    if is_spread(value):
        return shown(value, 0 if value["median"] >= 100 else 2 if value["median"] >= 1 else 4)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return "" if value is None else str(value)


def _without_empty(grid: Grid) -> Grid:
    """Without columns that no row fills."""
    kept = [column for column in range(len(grid.head)) if column == 0 or any(row[column] for row in grid.rows)]
    return Grid([grid.head[c] for c in kept], [[row[c] for c in kept] for row in grid.rows], grid.notes)


_GRIDS: Mapping[str, Callable[[Result], Grid]] = {
    "throughput": throughput.grid,
    "startup": startup.grid,
    "scaling": scaling.grid,
    "plan": plan.grid,
    "latency": _latency,
}
