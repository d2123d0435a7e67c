"""One self-contained HTML page of results: what is known is drawn, and all that is there is shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from bench.report.compare import Comparison
from bench.report.figures import drawings
from bench.report.plots import svg
from bench.result import is_table
from bench.spread import is_spread, number
from edge.errors import BadDataError

_RAW = ("rounds", "runs", "ceiling_runs", "steps")
"""Long lists of single measurements, which open on demand."""
_MOST_CHARACTERS = 120

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 64rem; padding: 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.3rem; margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.05rem; margin-bottom: .4rem; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: GrayText; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: right; white-space: nowrap; }
th { background: var(--soft); } th:first-child, td:first-child { text-align: left; }
td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; max-width: 46rem; }
summary { cursor: pointer; } nav a { margin-right: 1rem; }
.note { border-left: 4px solid #e0762f; padding-left: .8rem; }
@media print {
  body { max-width: none; font-size: 10pt; } nav { display: none; }
  figure, tr { break-inside: avoid; } .scroll { overflow: visible; } td, th { white-space: normal; }
}
"""


def page(results: Sequence[tuple[str, Mapping[str, Any]]], comparisons: Sequence[Comparison]) -> str:
    """The page of results, each with the name of its file, and of comparisons.

    Raises: BadDataError for a result that is not what its benchmark writes.
    """
    names = [f"{result['benchmark']} ({name})" for name, result in results]
    links = [(f"result-{index}", name) for index, name in enumerate(names)]
    links += [(f"change-{index}", f"{found.benchmark}: what changed") for index, found in enumerate(comparisons)]
    sections = [_result(anchor, name, result) for (anchor, name), (_, result) in zip(links, results, strict=False)]
    sections += [_comparison(f"change-{index}", found) for index, found in enumerate(comparisons)]
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Benchmarks of onnx-kafka-edge</title><style>{_STYLE}</style></head><body>",
            "<header><h1>Benchmarks of onnx-kafka-edge</h1><nav>",
            *(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in links),
            "</nav></header><main>",
            *sections,
            "</main></body></html>",
            "",
        ]
    )


def _result(anchor: str, title: str, result: Mapping[str, Any]) -> str:
    known = {"schema", "benchmark", "results", "configuration"}
    conditions = {key: value for key, value in result.items() if key not in known}
    parts = [
        f'<section id="{anchor}"><h2>{escape(title)}</h2>',
        *_pairs("Where it was measured", conditions),
        *_pairs("Configuration", result["configuration"]),
        *_figures(anchor, title, result),
        *_any("", result["results"]),
        "</section>",
    ]
    return "\n".join(parts)


def _figures(anchor: str, title: str, result: Mapping[str, Any]) -> list[str]:
    try:
        drawn = {name: svg(drawing, f"{anchor} {name}") for name, drawing in drawings(result).items()}
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        lacking = f"it lacks what bench.{result['benchmark']} writes ({error!r})"
        raise BadDataError(f"{title} cannot be drawn: {lacking}") from None
    labels = {name: escape(name.replace("-", ", "), quote=True) for name in drawn}
    return [f'<figure role="img" aria-label="{labels[name]}">{text}</figure>' for name, text in drawn.items()]


def _any(title: str, value: Any) -> Iterator[str]:
    """Whatever a result holds: an object as rows, a list of objects as a table, the rest as it is."""
    if isinstance(value, Mapping) and not is_spread(value):
        plain = {key: inner for key, inner in value.items() if not _is_nested(inner)}
        if plain:
            yield from _pairs(title, plain)
        for key, inner in value.items():
            if _is_nested(inner):
                yield from _any(f"{title} / {key}" if title else str(key), inner)
    elif is_table(value):
        shown = _table(title, value)
        is_raw = title.rpartition(" / ")[2] in _RAW
        yield f"<details><summary>{escape(title)}</summary>{shown}</details>" if is_raw else shown
    else:
        yield from _pairs(title, {"": value})


def _is_nested(value: Any) -> bool:
    return (isinstance(value, Mapping) and not is_spread(value)) or is_table(value)


def _pairs(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    if title:
        yield f"<h3>{escape(title)}</h3>"
    rows = "".join(f"<tr><th>{escape(str(key))}</th>{_cell(value)}</tr>" for key, value in flat(values))
    yield f'<div class="scroll"><table>{rows}</table></div>'


def _table(title: str, items: Sequence[Mapping[str, Any]]) -> str:
    rows = [dict(flat(item)) for item in items]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(_cell(row.get(column, "")) for column in columns) + "</tr>" for row in rows)
    caption = f"<caption>{escape(title)}</caption>"
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """An object's values, those of objects in it with both names; a spread is one value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and not is_spread(value):
            yield from flat(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value


def _cell(value: Any) -> str:
    if is_spread(value):
        low, middle, high = (number(value[key]) for key in ("low", "median", "high"))
        return f"<td>{middle}" + ("" if low == high else f" ({low} to {high})") + "</td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"<td>{number(value)}</td>"
    text = value if isinstance(value, str) else "-" if value is None else json.dumps(value, ensure_ascii=False)
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}… ({len(text):,} characters)"
    return f'<td class="text">{escape(text)}</td>'


def _comparison(anchor: str, found: Comparison) -> str:
    differences = [{"": key, "old": old, "new": new} for key, old, new in found.differences]
    changes = [
        {"metric": change.metric, "old": change.old, "new": change.new, "new/old": change.ratio}
        for change in found.changes
    ]
    lonely = [(f"Only in the {side} one: {', '.join(keys)}") for side, keys in _sides(found) if keys]
    return "\n".join(
        [
            f'<section id="{anchor}"><h2>{escape(found.benchmark)}: what changed</h2>',
            f"<p>Old: {escape(found.old_date)}, new: {escape(found.new_date)}</p>",
            f'<p class="note">{escape(found.verdict)}</p>',
            _table("Conditions that differ", differences) if differences else "",
            _table("Metrics", changes),
            *(f"<p>{escape(line)}</p>" for line in lonely),
            "</section>",
        ]
    )


def _sides(found: Comparison) -> Sequence[tuple[str, Sequence[str]]]:
    return ("old", found.only_old), ("new", found.only_new)
