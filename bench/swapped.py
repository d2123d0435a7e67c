"""What a model's replacements under load come to: the files that are put in, and who answered what."""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import statistics
from bench.load.trace import Trace
from bench.rolled import rolled
from bench.scaling import colour
from edge.images import Images
from edge.model import load_model_bytes

TOLERANCE = 1e-4
"""How far a confidence may lie from the one computed here; two models differ in the class itself."""
AFTER_S = 0.2
"""So long behind the classifier's line about a file a request counts as of the swap."""
OTHER_SIDE = 16

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Replacement:
    """A file that is put in the served one's place, and whether the classifier must serve it."""

    data: bytes
    is_good: bool

    @cached_property
    def name(self) -> str:
        """What answers call the model."""
        return _sha256(self.data)


@dataclass(frozen=True)
class Swap:
    """One replacement at `begun_s`, after `quiet_s` without, and what the classifier said until the next: when, and
    whether it serves the file; times in seconds on the driver's clock.
    """

    file: Replacement
    begun_s: float
    quiet_s: float
    told: Sequence[tuple[float, bool]]

    @property
    def is_right(self) -> bool:
        """Whether the classifier did, once, what it must."""
        return [is_served for _, is_served in self.told] == [self.file.is_good]


def replacements(data: bytes, swaps: int, bad: int) -> list[Replacement]:
    """Variants of the ONNX file `data`, each unlike the one before, with bad ones of several kinds in between."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "colour.onnx"
        colour.write_model(path, OTHER_SIDE)
        other_images = path.read_bytes()
    is_bad = [(number + 1) * bad // swaps - number * bad // swaps == 1 for number in range(swaps)]
    files, steps, spoiled = [], 0, 0
    for each in is_bad:
        if each:
            variant = rolled(data, steps + 1)
            kinds = [variant[: len(variant) // 2], rolled(data, steps + 1, has_right_golden=False), other_images]
            files.append(Replacement(kinds[spoiled % len(kinds)], False))
            spoiled += 1
        else:
            steps += 1
            files.append(Replacement(rolled(data, steps), True))
    return files


def results(
    trace: Trace, swaps: Sequence[Swap], files: Sequence[bytes], images: Images, interval_s: float, within: float
) -> dict[str, Any]:
    """Counts, latencies in milliseconds before and during the swaps, and which bars are kept.

    `files` are all that were ever in place. A request is of a swap when it was due between the earliest moment at which
    the classifier can have begun to load the file (it looks each `interval_s`) and AFTER_S behind its line about it.
    """
    names, wrong = _answers(trace, _expected(swaps, files, images), len(images.image))
    counts = Counter(name for name in names if name is not None)
    before, during = _latencies(trace, swaps, interval_s)
    before_ms, during_ms = statistics.percentiles(before), statistics.percentiles(during)
    ratio = during_ms["p99"] / before_ms["p99"] if "p99" in before_ms and "p99" in during_ms else None
    good = [swap for swap in swaps if swap.file.is_good]
    bad = len(swaps) - len(good)
    found: dict[str, Any] = {
        "sent": int(trace.is_sent.sum()),
        "lost": trace.missing,
        "duplicated": int((trace.answers > 1).sum()),
        "wrong": wrong,
        "outdated": _outdated(trace, swaps, names),
        "served": sum(swap.is_right for swap in good),
        "refused": sum(swap.is_right for swap in swaps if not swap.file.is_good),
        "answers_by_model": dict(counts),
        "before_ms": before_ms,
        "during_ms": during_ms,
        "during_requests": len(during),
        "takes_over_s": max((swap.told[0][0] - swap.begun_s for swap in good if swap.told), default=0.0),
    }
    bars = [
        _bar("lost requests", found["lost"], "0", found["lost"] == 0),
        _bar("answers under a wrong model's name", wrong, "0", wrong == 0),
        _bar("answers by a model that was replaced", found["outdated"], "0", found["outdated"] == 0),
        _bar("good files served", found["served"], str(len(good)), found["served"] == len(good)),
        _bar("bad files refused", found["refused"], str(bad), found["refused"] == bad),
        _bar("p99 during a swap, of that before", ratio, f"{within:g} at most", ratio is not None and ratio <= within),
    ]
    return {**found, "bars": bars}


def _bar(bar: str, found: float | None, needed: str, is_kept: bool) -> dict[str, Any]:
    return {"bar": bar, "found": found, "needed": needed, "is_kept": is_kept}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _expected(swaps: Sequence[Swap], files: Sequence[bytes], images: Images) -> dict[str, npt.NDArray[np.float32]]:
    """Class probabilities of all images, [images, classes], of each model that may answer, by its name."""
    bad = {swap.file.name for swap in swaps if not swap.file.is_good}
    found = {}
    for name, data in {_sha256(data): data for data in files}.items():
        if name not in bad:
            model = load_model_bytes(data, name)
            found[name] = model.infer(images.image.reshape(-1, *model.contract.shape))
    return found


def _answers(
    trace: Trace, expected: Mapping[str, npt.NDArray[np.float32]], images: int
) -> tuple[list[str | None], int]:
    """Which model each answer names, None where there is no answer; and how many are not what that model answers."""
    names: list[str | None] = []
    wrong = 0
    for number, message in enumerate(trace.first):
        if message is None:
            names.append(None)
            continue
        answer = json.loads(message.value() or b"{}")
        names.append(name := str(answer.get("sha256")))
        row = expected[name][number % images] if name in expected else None
        is_right = row is not None and (
            answer["class"] == int(row.argmax()) and abs(answer["confidence"] - float(row.max())) <= TOLERANCE
        )
        wrong += not is_right
    return names, wrong


def _outdated(trace: Trace, swaps: Sequence[Swap], names: Sequence[str | None]) -> int:
    """How many answers are by another model than the one that the classifier said it serves when they were due."""
    starts = [swap.begun_s for swap in swaps]
    found = 0
    for due_s, name in zip(trace.intended_s.tolist(), names, strict=True):
        number = bisect_right(starts, due_s) - 1
        # Between its replacement and the classifier's line nobody knows; a refused file leaves who served before.
        if number >= 0 and any(is_served and told_s <= due_s for told_s, is_served in swaps[number].told):
            found += name not in (None, swaps[number].file.name)
    return found


def _latencies(trace: Trace, swaps: Sequence[Swap], interval_s: float) -> tuple[Samples, Samples]:
    """Of the requests answered that were due in the quiet before each swap, and during one, in milliseconds."""
    before, during = (np.zeros(len(trace.intended_s), bool) for _ in range(2))
    for swap in swaps:
        told_s = swap.told[0][0] if swap.told else np.inf
        before |= (trace.intended_s >= swap.begun_s - swap.quiet_s) & (trace.intended_s < swap.begun_s)
        during |= (trace.intended_s >= swap.begun_s + interval_s) & (trace.intended_s < told_s + AFTER_S)
    latency_ms = (trace.received_s - trace.intended_s) * 1000
    return latency_ms[before & (trace.answers > 0)], latency_ms[during & (trace.answers > 0)]
