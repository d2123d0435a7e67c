"""`python -m export` turns a run into a gated `model.onnx`; `python -m export evaluate` scores an ONNX file."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

from edge.contract import PRECISIONS, Contract
from edge.errors import ConfigurationError
from edge.model import load_model, load_model_bytes
from export import parity, report
from export.runs import newest_run, predictions_of, read_predictions, read_run
from export.samples import Samples, matched, read_samples
from export.saved import is_saved_model, read_saved_model
from export.source import PIXELS, Source

GOLDEN_IMAGES = 5
"""Reference inputs of a SavedModel that brings none."""

INPUT = click.Path(path_type=Path, exists=True)

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

    RUN is a run directory of `python -m training`, by default the newest complete one, or any SavedModel of an image
    classifier, described by --labels and --data. The result of the comparison stands beside the model, as
    `model.parity.json`. A model in int8 or float16 is smaller, and not always faster (`python -m bench.precision`
    measures it); it is written only if it is right about as often as TensorFlow.

    \b
    Examples:
      python -m export
      python -m export my_saved_model --labels labels.txt --data test.npz --pixels 0..1
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
    help="Largest difference of a probability from TensorFlow's, for float32.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=PRECISIONS[0],
    show_default=True,
    help="Of weights and activations; int8 is calibrated on training images of the run.",
)
@click.option(
    "--max-accuracy-loss",
    type=click.FloatRange(0, 1),
    default=0.005,
    show_default=True,
    help="What int8 or float16 may be right less often than TensorFlow; 0.005 is half a percentage point.",
)
@click.option("--labels", type=INPUT, help="For a SavedModel: text with the name of a class on each line, in order.")
@click.option("--data", type=INPUT, help="For a SavedModel: labelled test images, a .npz of image and label, or IDX.")
@click.option("--calibration", type=INPUT, help="For a SavedModel in int8: the same of training images.")
@click.option(
    "--pixels",
    type=click.Choice(list(PIXELS)),
    help="For a SavedModel that takes float32: what it was given for pixels from 0 to 255.",
)
@click.option("--logits", is_flag=True, help="For a SavedModel that gives logits: a softmax is added.")
@click.pass_context
def run(
    context: click.Context,
    /,
    run: Path | None,
    output: Path,
    runs: Path,
    opset: int,
    tolerance: float,
    precision: str,
    max_accuracy_loss: float,
    **described: Any,
) -> None:
    """Convert, compare, write."""
    is_reduced = precision != PRECISIONS[0]
    _refuse_contradiction(context, "tolerance" if is_reduced else "max_accuracy_loss", precision)
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise ConfigurationError(
            f"{output} cannot be written: {output.parent} is not a directory that you may write to"
        )
    directory = run or newest_run(runs)
    source, samples = _read(directory, precision, **described)
    accuracy = "" if source.test_accuracy is None else f", test accuracy {source.test_accuracy:.4f}"
    click.echo(f"{'run' if source.run else 'SavedModel'} {directory}: {source.name}{accuracy}", err=True)
    convert = _convert()
    saved_model = convert.load_saved_model(source)
    contract = convert.describe(source, saved_model)
    samples = matched(samples, contract, source.test_images)
    if contract.test_accuracy is None:
        contract = replace(contract, test_accuracy=_accuracy(saved_model, samples))
    proto = convert.to_onnx(saved_model, source.name, opset)
    if is_reduced:
        proto, contract = _reduce(convert, proto, contract, precision, source, samples)
    golden = source.golden if source.golden is not None else samples.some(GOLDEN_IMAGES).image
    data = convert.with_golden(proto, contract, golden)
    model = load_model_bytes(data, str(output))
    click.echo(f"converted to opset {opset}, {precision}: {len(data):,} bytes", err=True)
    tolerance, allowed = (0.0, max_accuracy_loss) if is_reduced else (tolerance, None)
    with _progress(2 * len(parity.BATCHES) * len(samples.label), "comparing with TensorFlow") as bar:
        verdict = parity.compare(saved_model.infer, model.infer, samples, tolerance, allowed, bar.update)
    report.show(verdict)
    report.refuse(verdict, output, precision)
    report.write(output, data, report.document(verdict, data, output, source, precision, convert.versions()))
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
        probabilities = parity.predict(loaded.infer, samples.image, parity.BATCHES[-1], bar.update)
    if not np.isfinite(probabilities).all():
        raise parity.ParityError(f"{model} gives outputs that are not finite numbers for images of {path}")
    right = probabilities.argmax(1) == samples.label
    width = max(len(label) for label in contract.labels)
    for number, label in enumerate(contract.labels):
        of_class = right[samples.label == number]
        share = f"{of_class.mean():.4f}" if len(of_class) else "     -"
        click.echo(f"{label:<{width}}  {share}  of {len(of_class)}")
    click.echo(f"precision {contract.precision}")
    click.echo(f"accuracy {right.mean():.4f}: {right.sum()} of {len(right)} images")


def _read(
    directory: Path,
    precision: str,
    labels: Path | None,
    data: Path | None,
    calibration: Path | None,
    pixels: str | None,
    logits: bool,
) -> tuple[Source, Samples]:
    """A run or a SavedModel, and the images that gate it."""
    if not is_saved_model(directory):
        if labels or data or calibration or pixels or logits:
            raise click.UsageError(
                f"{directory} is no SavedModel (no saved_model.pb), and a run says by itself what --labels, --data, "
                "--calibration, --pixels and --logits would"
            )
        source = read_run(directory)
        return source, read_predictions(source)
    if not labels or not data:
        raise click.UsageError(
            f"{directory} is a SavedModel: it needs --labels and --data, the names of its classes and the test images "
            "for which it has to answer as TensorFlow does"
        )
    if (precision == "int8") != (calibration is not None):
        raise click.UsageError("--precision int8 of a SavedModel needs --calibration, and nothing else does")
    return read_saved_model(directory, labels, data, calibration, pixels, logits), read_samples(data)


def _accuracy(model: Any, samples: Samples) -> float:
    return parity.accuracy(parity.predict(model.infer, samples.image, parity.BATCHES[-1]), samples.label)


def _convert() -> Any:
    # TensorFlow takes seconds to import, which neither --help nor `evaluate` should pay.
    try:
        from export import convert  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"export needs {error.name}, which is not installed here: . .venv-train/bin/activate after make demo, or "
            "pip install --require-hashes -r locks/train.txt"
        ) from None
    return convert


def _refuse_contradiction(context: click.Context, option: str, precision: str) -> None:
    if context.get_parameter_source(option) != ParameterSource.DEFAULT:
        raise click.UsageError(
            f"--{option.replace('_', '-')} contradicts --precision {precision}: float32 has to answer as TensorFlow "
            "does, within --tolerance; int8 and float16 may lose --max-accuracy-loss"
        )


def _reduce(
    convert: Any, proto: Any, contract: Contract, precision: str, source: Source, samples: Samples
) -> tuple[Any, Contract]:
    """The model in `precision`, and its contract with its own accuracy on the test images."""
    from export.precision import CALIBRATION_IMAGES, halve, quantise  # noqa: PLC0415

    if images := source.training_images if precision == "int8" else None:
        training = matched(read_samples(images), contract, images).some(CALIBRATION_IMAGES)
        click.echo(f"calibrating on {len(training.label)} training images", err=True)
        proto = quantise(proto, training.image)
    else:
        proto = halve(proto)
    model = load_model_bytes(convert.embed(proto, replace(contract, precision=precision)), contract.name)
    return proto, replace(contract, precision=precision, test_accuracy=_accuracy(model, samples))


def _progress(length: int, label: str) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)


if __name__ == "__main__":
    main(prog_name="python -m export")
