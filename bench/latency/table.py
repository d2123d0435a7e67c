"""The results of `python -m bench.latency` for people."""

from collections.abc import Mapping
from typing import Any

from bench.statistics import SAMPLES_NEEDED

PERCENTILES = [*SAMPLES_NEEDED, "max"]
COUNTS = ("sent", "lost", "duplicated", "late")
LAG_BOUND_MS = 1.0
"""A sender whose p99 is later than that was itself in want of a processor: so was what it measured."""


def latencies(results: Mapping[str, Any]) -> str:
    """Latencies and counts of all systems, the stages of each that tells them, and what is wrong with the numbers."""
    systems = results["systems"]
    counts = "".join(f"{name:>12}" for name in COUNTS)
    lines = [f"{'latency, ms':20}" + "".join(f"{name:>9}" for name in PERCENTILES) + counts]
    for name, each in systems.items():
        lines.append(_row(name, each["latency_ms"]) + "".join(f"{each[count]:12,}" for count in COUNTS))
        # Where each request is due when it is sent, there is no more to say.
        if each["sender_lag_ms"].get("max"):
            lines.append(_row("  from actual send", each["latency_from_actual_send_ms"]))
            lines.append(_row("  sender's lag", each["sender_lag_ms"]))
    return "\n".join([*_headline(results["ratio_to_echo"]), *lines, *_stages(systems), *_warnings(systems)])


def rates(results: Mapping[str, Any]) -> str:
    """The highest rates of the scenario `server`."""
    lines = [f"{'highest rate':20}{'/s':>9}" + "".join(f"{name:>9}" for name in PERCENTILES) + "   (latency, ms)"]
    for name, each in results["systems"].items():
        lines.append(f"{name:20}{each['rate_per_s']:9,.0f}" + _cells(each["latency_ms"]))
    return "\n".join([*_ratio(results["ratio_to_echo"], "rate", "takes {:.2f} times the rate of"), *lines])


def drains(results: Mapping[str, Any]) -> str:
    """Images a second of the scenario `offline`."""
    lines = [f"{'images/s':20}{'median':>9}   rounds"]
    for name, each in results["systems"].items():
        rounds = ", ".join(f"{one['images_per_s']:,.0f}" for one in each["rounds"])
        faults = "".join(f", {each[fault]:,} {fault}" for fault in ("lost", "duplicated") if each[fault])
        lines.append(f"{name:20}{each['images_per_s']:9,.0f}   {rounds}{faults}")
    return "\n".join(
        [*lines, *_ratio(results["ratio_to_echo"], "images_per_s", "answers {:.2f} times the images/s of")]
    )


def loopback(results: Mapping[str, Any]) -> str:
    """What `python -m bench.loopback` has found."""
    lines = [
        f"{'one hop, ms':20}" + "".join(f"{name:>9}" for name in PERCENTILES),
        _row("latency", results["latency_ms"]),
        _row("sender's lag", results["sender_lag_ms"]),
        f"the driver took {100 * results['cores']:.1f} % of a core; at most it sends {results['most_sent_per_s']:,} "
        f"requests a second, and receives {results['most_received_per_s']:,} ({results['lost']} lost)",
    ]
    return "\n".join(lines)


def _stages(systems: Mapping[str, Any]) -> list[str]:
    shown = {name: each["stages_ms"] for name, each in systems.items() if each["stages_ms"]}
    lines = []
    for name, stages in shown.items():
        lines.append(f"{f'stages of {name}, ms':20}")
        lines += [_row(f"  {stage}", found) for stage, found in stages.items()]
    return lines


def _warnings(systems: Mapping[str, Any]) -> list[str]:
    fewest = min(each["received"] for each in systems.values())
    missing = [f"{name} needs {count:,}" for name, count in SAMPLES_NEEDED.items() if fewest < count]
    lines = [f"- too few samples: {', '.join(missing)}"] if missing else []
    lag_ms = max(each["sender_lag_ms"].get("p99", 0.0) for each in systems.values())
    if lag_ms > LAG_BOUND_MS:
        lines.append(
            f"- the sender's lag (p99 {lag_ms:.1f} ms) says that this machine was busy: measure again when it is quiet"
        )
    return lines


def _headline(ratio: Mapping[str, Any]) -> list[str]:
    rounds = [each for each in ratio.get("rounds_p50", []) if each is not None]
    if "p50" not in ratio or not rounds:
        return []
    others = "".join(f", {name} {ratio[name]:.2f}" for name in SAMPLES_NEEDED if name in ratio and name != "p50")
    spread = f"{min(rounds):.2f} to {max(rounds):.2f} in {len(rounds)} rounds"
    return [f"the classifier takes {ratio['p50']:.2f} times as long as its echo: p50, {spread}{others}"]


def _ratio(ratio: Mapping[str, float], key: str, saying: str) -> list[str]:
    return [f"the classifier {saying.format(ratio[key])} its echo"] if key in ratio else []


def _row(title: str, found: Mapping[str, float]) -> str:
    return f"{title:20}" + _cells(found)


def _cells(found: Mapping[str, float]) -> str:
    return "".join(f"{found[name]:9.2f}" if name in found else f"{'-':>9}" for name in PERCENTILES)
