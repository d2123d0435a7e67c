"""The comparison as Markdown, for the README, and the bars in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.peers.systems import OURS, PEER
from bench.spread import Spread, shown

HEAD = (
    "| system | p50 ms at 100/s | p99 ms at 100/s | images/s, one process | CPU-s per 1,000 | RSS, MB | lost / dup. |"
    " our images/s ÷ theirs |"
)
_MEGABYTE = 1e6


def markdown(results: Mapping[str, Any]) -> str:
    """Median (lowest to highest round) of each measure; p50 and p99 are those of all rounds' requests together."""
    entries = results["systems"]
    columns = HEAD.count("|") - 1
    lines = [HEAD, "|---|" + "---:|" * (columns - 1), *(_row(entry, entries) for entry in entries)]
    if results["ceiling"]:
        lines.append(_ceiling_row(results["ceiling"]))
    return "\n".join([*lines, "", *_notes(entries), *_lag(results["sender_lag_p99_ms"])])


def short(results: Mapping[str, Any]) -> str:
    """The medians of us and of the others, without spread and notes."""
    head = "| system | p50 ms at 100/s | p99 ms at 100/s | images/s, one process | RSS, MB |"
    entries = [entry for entry in results["systems"] if entry["kind"] in (OURS, PEER)]
    return "\n".join([head, "|---|" + "---:|" * (head.count("|") - 2), *(_short_row(entry) for entry in entries)])


def _short_row(entry: Mapping[str, Any]) -> str:
    found = [entry["pooled_ms"].get(name) for name in ("p50", "p99")]
    latency = ["-" if ms is None else f"{ms:.1f}" for ms in found]
    spreads = [entry.get("images_per_s"), _scaled(entry.get("rss_bytes"), 1 / _MEGABYTE)]
    medians = ["-" if spread is None else f"{spread['median']:,.0f}" for spread in spreads]
    return f"| {' | '.join([entry['title'], *latency, *medians])} |"


def _row(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    if entry["missing"] is not None and "images_per_s" not in entry and not entry["pooled_ms"]:
        return f"| {entry['title']} | missing | | | | | | |"
    cells = [
        entry["title"],
        _latency(entry, "p50"),
        _latency(entry, "p99"),
        shown(entry.get("images_per_s")),
        shown(entry.get("cpu_s_per_1000"), 3),
        shown(_scaled(entry.get("rss_bytes"), 1 / _MEGABYTE)),
        f"{entry['lost']} / {entry['duplicated']}",
        _times(entry, entries),
    ]
    return f"| {' | '.join(cells)} |"


def _latency(entry: Mapping[str, Any], name: str) -> str:
    if name not in entry["pooled_ms"]:
        return "-"
    rounds = entry["latency_ms"].get(name)
    spread = "" if rounds is None else f" ({rounds['low']:.1f} to {rounds['high']:.1f})"
    return f"{entry['pooled_ms'][name]:.1f}{spread}"


def _times(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """Our images/s with each client, divided by a peer's."""
    if entry["kind"] != PEER or not entry.get("images_per_s", {}).get("median"):
        return ""
    own = [each for each in entries if each["kind"] == OURS and "images_per_s" in each]
    below = entry["images_per_s"]["median"]
    return ", ".join(f"{each['images_per_s']['median'] / below:.1f} ({each['client']})" for each in own)


def _ceiling_row(ceiling: Mapping[str, Any]) -> str:
    rate, cpu = shown(ceiling.get("images_per_s")), shown(ceiling.get("cpu_s_per_1000"), 3)
    return f"| onnxruntime alone, {ceiling['batch']} images at once | | | {rate} | {cpu} | | | |"


def _scaled(found: Spread | None, factor: float) -> Spread | None:
    return None if found is None else {name: value * factor for name, value in found.items()}


def _notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"- {entry['title']}: {'; '.join(entry['notes'])}." for entry in entries if entry["notes"]]
    failed = [entry for entry in entries if entry["missing"] is not None]
    return [*lines, *(f"- {entry['title']} was not measured to the end: {entry['missing']}" for entry in failed)]


def _lag(found: Spread | None) -> list[str]:
    """What the driver itself may have added, for it sends late when the machine is busy."""
    return [] if found is None else [f"- The driver sent late by {shown(found, 1)} ms (p99 of each run)."]


def verdicts(bars: Sequence[Mapping[str, Any]]) -> str:
    """One line for each bar: met, not met, or not measured."""
    return "\n".join(_verdict(bar) for bar in bars)


def _verdict(bar: Mapping[str, Any]) -> str:
    needed = f"{'at most' if bar['is_limit'] else 'at least'} {bar['needed']:g}"
    aim = "" if bar["aim"] is None else f", aim {bar['aim']:g}"
    if bar["measured"] is None:
        return f"not measured   {bar['bar']} ({needed}{aim})"
    return f"{'met    ' if bar['met'] else 'NOT MET'} {bar['measured']:6.2f} {bar['bar']} ({needed}{aim})"
