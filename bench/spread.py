"""What several rounds of one measurement come to: the middle, and how far they lie apart."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, TypeGuard

Spread = dict[str, float]
"""`median`, `low` and `high` of the rounds, and their number as `rounds`."""


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    found = sorted(values)
    return {"median": float(median(found)), "low": found[0], "high": found[-1], "rounds": len(found)}


def spreads(rows: Sequence[dict[str, Any]], keys: Iterable[str]) -> dict[str, Spread]:
    """The spread of each key over the rows, one row a round; a key that a row lacks, or has as None, is passed over."""
    found = {key: [row[key] for row in rows if row.get(key) is not None] for key in keys}
    return {key: spread(values) for key, values in found.items() if values}


def shown(found: Spread | None, digits: int = 0) -> str:
    """A spread for people: `median (low to high)`."""
    if found is None:
        return "-"
    low, middle, high = (f"{found[name]:,.{digits}f}" for name in ("low", "median", "high"))
    return middle if low == high else f"{middle} ({low} to {high})"


def is_spread(value: Any) -> TypeGuard[Spread]:
    """Whether a value of a result is a spread."""
    return isinstance(value, Mapping) and {"median", "low", "high"} <= set(value)


def number(value: float) -> str:
    """A number of any size, to four digits at least."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
