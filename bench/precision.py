"""What a model costs in each precision: size, accuracy and time an image, side by side: `python -m bench.precision`."""

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from bench import result
from edge import cli
from edge.errors import BadDataError
from edge.images import Images, load_images
from edge.model import Model, load_model
from edge.query import SAMPLES

ROUND_S = 0.05
"""About how long a model runs in a round."""

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A model with the images as it takes them, and the part of them that it is right about."""

    path: Path
    model: Model
    image: npt.NDArray[np.uint8]
    accuracy: float

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self.path.stat().st_size


@click.command(epilog="Example: python -m bench.precision model.onnx model.int8.onnx --images runs/…/test.npz")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    default=SAMPLES,
    show_default=True,
    help="Images with labels: .npz or IDX.",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 4096),
    multiple=True,
    default=(1, 32),
    show_default=True,
    help="Images at a time; may be given more than once.",
)
@click.option("--rounds", type=click.IntRange(min=3), default=21, show_default=True, help="Rounds of all models.")
@result.output_option("precision.json")
def main(models: tuple[Path, ...], images: Path, batches: tuple[int, ...], rounds: int, output: Path) -> None:
    """Compare model files with the first one.

    Each is run as the classifier runs it, in one thread without spinning. All take part in each round, in another
    order each time. Times are CPU time, which is what passes where a core is free; medians over the rounds, and the
    middle half of them.
    """
    candidates = [load_candidate(path, images) for path in models]
    times = {batch: measure(candidates, batch, rounds) for batch in batches}
    rows = [summary(candidates, times, number) for number in range(len(candidates))]
    click.echo(table(rows))
    for row in rows[1:]:
        click.echo(verdict(row, rows[0]))
    configuration = {"images": images.name, "count": len(candidates[0].image), "rounds": rounds, "threads": 1}
    result.write(output, result.document("precision", configuration, {"models": rows}))


def load_candidate(path: Path, images: Path) -> Candidate:
    """Load a model, and score it on labelled images.

    Raises: BadModelError for the model; BadDataError where the images have no labels or another shape.
    """
    model, read = load_model(path), load_images(images)
    image = _matched(read, model, images)
    return Candidate(path, model, image, float((model.infer(image).argmax(1) == read.label).mean()))


def _matched(images: Images, model: Model, path: Path) -> npt.NDArray[np.uint8]:
    contract, found = model.contract, images.image.shape[1:]
    shape = contract.shape
    if images.label is None:
        raise BadDataError(f"{path} has no labels to compare with")
    if contract.dtype != "uint8" or found not in (shape, shape[:-1] if shape[-1:] == (1,) else shape):
        raise BadDataError(
            f"{path} holds images of uint8 {list(found)}; {contract.name} takes {contract.dtype} {list(shape)}"
        )
    return images.image.reshape(-1, *shape)


def measure(candidates: Sequence[Candidate], batch: int, rounds: int) -> Times:
    """CPU time an image in µs, [rounds, candidates], of so many images at a time."""
    inputs = [np.resize(candidate.image, (batch, *candidate.image.shape[1:])) for candidate in candidates]
    calls = [_calls(candidate.model, images) for candidate, images in zip(candidates, inputs, strict=True)]
    times = np.empty((rounds, len(candidates)))
    order = random.Random(0)  # noqa: S311 - an order, and no secret
    with click.progressbar(range(rounds), label=f"batch {batch}", file=sys.stderr) as bar:
        for done in bar:
            for n in order.sample(range(len(candidates)), len(candidates)):
                candidates[n].model.infer(inputs[n])  # the others have had the caches
                started = time.process_time_ns()
                for _ in range(calls[n]):
                    candidates[n].model.infer(inputs[n])
                times[done, n] = (time.process_time_ns() - started) / (1000 * calls[n] * batch)
    return times


def _calls(model: Model, images: npt.NDArray[np.uint8]) -> int:
    """How many calls fill a round."""
    calls, started = 0, time.process_time()
    while (passed := time.process_time() - started) < ROUND_S:
        model.infer(images)
        calls += 1
    return max(1, round(calls * ROUND_S / passed))


def summary(candidates: Sequence[Candidate], times: dict[int, Times], number: int) -> dict[str, Any]:
    """A model's numbers, and what they are to the first model's; ratios are of the same round."""
    candidate = candidates[number]
    return {
        "model": candidate.path.name,
        "sha256": candidate.model.sha256,
        "precision": candidate.model.contract.precision,
        "size_bytes": candidate.size_bytes,
        "accuracy": candidate.accuracy,
        "us_an_image": {str(batch): _quartiles(found[:, number]) for batch, found in times.items()},
        "ratio_to_first": {str(batch): _quartiles(found[:, number] / found[:, 0]) for batch, found in times.items()},
    }


def _quartiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    low, median, high = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return {"median": median, "low": low, "high": high}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The numbers for people."""
    width = max(len("model"), *(len(row["model"]) for row in rows))
    batches = [f"µs an image, batch {batch}" for batch in rows[0]["us_an_image"]]
    lines = [f"{'model':{width}}  precision      bytes  accuracy" + "".join(f"{title:>27}" for title in batches)]
    for row in rows:
        cells = "".join(f"{_cell(found):>27}" for found in row["us_an_image"].values())
        lines.append(
            f"{row['model']:{width}}  {row['precision']:9}  {row['size_bytes']:9,}  {row['accuracy']:8.4f}{cells}"
        )
    return "\n".join(lines)


def _cell(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} ({found['low']:.1f} to {found['high']:.1f})"


def verdict(row: dict[str, Any], first: dict[str, Any]) -> str:
    """One sentence about a model beside the first one."""
    speeds = [f"{_speed(ratio)} at batch {batch}" for batch, ratio in row["ratio_to_first"].items()]
    size = row["size_bytes"] / first["size_bytes"]
    sized = "as large" if round(size, 2) == 1 else _ratio(size, "larger", "smaller")
    return (
        f"{row['model']} ({row['precision']}) beside {first['model']} ({first['precision']}): {', '.join(speeds)}; "
        f"{sized}; {100 * (row['accuracy'] - first['accuracy']):+.2f} points of accuracy"
    )


def _speed(ratio: dict[str, float]) -> str:
    # Less than the rounds differ among themselves is no difference.
    return "as fast" if ratio["low"] <= 1 <= ratio["high"] else _ratio(ratio["median"], "slower", "faster")


def _ratio(ratio: float, more: str, less: str) -> str:
    return f"{ratio:.2f} x {more}" if ratio >= 1 else f"{1 / ratio:.2f} x {less}"


if __name__ == "__main__":
    cli.run(main, "bench.precision")
