"""`python -m export` turns a run into a gated `model.onnx`; `python -m export evaluate` scores an ONNX file."""

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge.errors import BadDataError, ConfigurationError
from edge.model import load_model, load_model_bytes
from export import parity
from export.runs import Run, matched, newest_run, predictions_of, read_predictions, read_run, read_samples

LEAST_RECORDED_AGREEMENT = 0.99
"""Below it the SavedModel is not the model that the run evaluated; a GPU's rounding moves one image in a thousand."""

RUNS = click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where runs lie, for the newest one.",
)


class ExportByDefault(click.Group):
    """A group whose first word, unless it names a command, belongs to `run`.

    A run directory that is called like a command is written with its folder: `./evaluate`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] in self.get_help_option_names(ctx))
        return super().parse_args(ctx, args if named else ["run", *args])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.commands["run"].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=ExportByDefault, options_metavar="[RUN] [OPTIONS] |", subcommand_metavar="evaluate MODEL [OPTIONS]")
def main() -> None:
    """Convert a run's model to ONNX, and write it only if it answers every test image as TensorFlow does.

    RUN is a run directory of `python -m training`, by default the newest complete one. The result of the
    comparison stands beside the model, as `model.parity.json`.
    """


@main.command(hidden=True)
@click.argument("run", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("model.onnx"),
    show_default=True,
    help="The model file to write.",
)
@RUNS
@click.option("--opset", type=click.IntRange(13, 18), default=17, show_default=True, help="ONNX operator set.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=1e-5,
    show_default=True,
    help="Largest difference of a probability from TensorFlow's.",
)
def run(run: Path | None, output: Path, runs: Path, opset: int, tolerance: float) -> None:
    """Convert, compare, write."""
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise ConfigurationError(
            f"{output} cannot be written: {output.parent} is not a directory that you may write to"
        )
    source = read_run(run or newest_run(runs))
    click.echo(f"run {source.directory}: {source.architecture}, test accuracy {source.test_accuracy:.4f}", err=True)
    samples = read_predictions(source)
    convert = _convert()
    saved_model = convert.load_saved_model(source.saved_model)
    contract = convert.describe(source, saved_model)
    samples = matched(samples, contract, source.predictions)
    data = convert.with_golden(convert.to_onnx(saved_model, source.architecture, opset), contract, source.golden)
    model = load_model_bytes(data, str(output))
    click.echo(f"converted to opset {opset}: {len(data):,} bytes", err=True)
    with _progress(2 * len(parity.BATCHES) * len(samples.label), "comparing with TensorFlow") as bar:
        verdict = parity.compare(saved_model.infer, model.infer, samples, tolerance, bar.update)
    _print_parity(verdict)
    _refuse(verdict, output)
    report = _report(verdict, data, output, source, convert.versions())
    write_pair(output, data, report)
    click.echo(str(output))


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), help="A .npz of image and label, or IDX [default: the newest run's]."
)
@RUNS
def evaluate(model: Path, data: Path | None, runs: Path) -> None:
    """Score an ONNX file on labelled images, with onnxruntime alone."""
    loaded = load_model(model)
    contract = loaded.contract
    path = data or predictions_of(newest_run(runs))
    samples = matched(read_samples(path), contract, path)
    with _progress(len(samples.label), f"{model} {loaded.sha256}") as bar:
        batch = loaded.max_batch or parity.BATCHES[-1]
        probabilities = parity.predict(loaded.infer, samples.image, batch, bar.update)
    if not np.isfinite(probabilities).all():
        raise parity.ParityError(f"{model} gives outputs that are not finite numbers for images of {path}")
    right = probabilities.argmax(1) == samples.label
    width = max(len(label) for label in contract.labels)
    for number, label in enumerate(contract.labels):
        of_class = right[samples.label == number]
        share = f"{of_class.mean():.4f}" if len(of_class) else "     -"
        click.echo(f"{label:<{width}}  {share}  of {len(of_class)}")
    click.echo(f"accuracy {right.mean():.4f}: {right.sum()} of {len(right)} images")


def write_pair(output: Path, data: bytes, report: str) -> None:
    """Put the model and its parity file in place; each is whole or untouched, whatever happens.

    Raises: ConfigurationError if they cannot be written.
    """
    contents = {output.with_name(f"{output.stem}.parity.json"): report.encode(), output: data}
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    try:
        # Both are on the disk before either replaces anything: a full disk leaves the old pair.
        for path, content in contents.items():
            with temporary[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, written in temporary.items():
            written.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written ({error.strerror}); nothing was changed") from None
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)


def _convert() -> Any:
    # TensorFlow takes seconds to import, which neither --help nor `evaluate` should pay.
    try:
        from export import convert  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"export needs {error.name}: install requirements-train.txt") from None
    return convert


def _progress(length: int, label: str) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)


def _print_parity(verdict: parity.Parity) -> None:
    for b in verdict.batches:
        click.echo(
            f"batch {b.batch}: {b.images} images, largest difference {b.max_difference:.2g}, "
            f"class agreement {b.agreement:.4%}, ties {b.ties} ({b.excepted} excepted)"
        )
    click.echo(f"accuracy of the ONNX model: {verdict.accuracy:.4f}")


def _refuse(verdict: parity.Parity, output: Path) -> None:
    if not verdict.passed:
        for difference in verdict.worst:
            click.echo(str(difference), err=True)
        raise parity.ParityError(
            f"the ONNX model answers otherwise than the SavedModel (tolerance {verdict.tolerance:g}), so {output} "
            "was not written; the worst images stand above"
        )
    recorded = verdict.recorded_agreement
    if recorded is not None and recorded < LEAST_RECORDED_AGREEMENT:
        raise BadDataError(
            f"the SavedModel agrees with only {recorded:.2%} of the run's recorded predictions, so it is not the model "
            f"that the run evaluated, and {output} was not written; train again with `python -m training`"
        )


def _report(verdict: parity.Parity, data: bytes, output: Path, source: Run, versions: dict[str, str]) -> str:
    document = {
        "model": output.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "run": source.name,
        "run_test_accuracy": source.test_accuracy,
        **verdict.to_dict(),
        "versions": versions,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


if __name__ == "__main__":
    main(prog_name="python -m export")
