"""Which package may import which: the table in docs/architecture.md, read back, and held against the imports."""

import re
from collections.abc import Iterable, Mapping

from tests.architecture.imports import Import
from tests.paths import ROOT

PAGE = ROOT / "docs" / "architecture.md"
ANYTHING, NOTHING = "all", "nothing else here"
_ROW = re.compile(r"^\| `(\w+)/` \|[^|]*\| ([^|]*) \|", re.MULTILINE)


def allowed(page: str) -> dict[str, set[str]]:
    """The packages that each package may import; of one that may import all, every other in the table."""
    rows: dict[str, str] = dict(_ROW.findall(page))
    return {name: set(rows) - {name} if may == ANYTHING else _names(may) for name, may in rows.items()}


def broken(found: Iterable[Import], rules: Mapping[str, set[str]]) -> list[str]:
    """A line for each import that the rules do not allow, whether at the top of a module or in a function."""
    lines = []
    for importer, imported, _ in sorted(found):
        upper, lower = importer.partition(".")[0], imported.partition(".")[0]
        if upper != lower and lower not in rules.get(upper, ()):
            lines.append(f"{importer} imports {imported}, but {upper} may not import {lower}")
    return lines


def _names(cell: str) -> set[str]:
    return set() if cell == NOTHING else set(re.findall(r"`(\w+)`", cell))
