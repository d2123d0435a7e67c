"""What the gate found: shown, judged, and written beside the model."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from edge.errors import BadDataError, ConfigurationError
from export import parity
from export.source import Source

LEAST_RECORDED_AGREEMENT = 0.99
"""Below it the SavedModel is not the model that the run evaluated; a GPU's rounding moves one image in a thousand."""


def show(verdict: parity.Parity) -> None:
    """Print what the comparison found."""
    for b in verdict.batches:
        click.echo(
            f"batch {b.batch}: {b.images} images, largest difference {b.max_difference:.2g}, "
            f"class agreement {b.agreement:.4%}, ties {b.ties} ({b.excepted} excepted)"
        )
    change = "" if verdict.max_accuracy_loss is None else f" ({-100 * verdict.accuracy_loss:+.2f} percentage points)"
    click.echo(f"accuracy of the ONNX model: {verdict.accuracy:.4f}{change}")


def refuse(verdict: parity.Parity, output: Path, precision: str) -> None:
    """Pass a model that may be written.

    Raises: ParityError for one that may not; BadDataError if the run's own files contradict one another.
    """
    allowed = verdict.max_accuracy_loss
    if not verdict.passed and allowed is not None:
        found = (
            f"loses {100 * verdict.accuracy_loss:.2f} percentage points of accuracy on the test images, more than the "
            f"{100 * allowed:.2f} allowed"
        )
        if any(b.non_finite for b in verdict.batches):
            found = "gives outputs that are not finite numbers"
        raise parity.ParityError(
            f"the {precision} model {found}, so {output} was not written; export it with --precision float32"
        )
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


def document(
    verdict: parity.Parity, data: bytes, output: Path, source: Source, precision: str, versions: dict[str, str]
) -> str:
    """The parity file's text."""
    content = {
        "model": output.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "precision": precision,
        "run": source.run,
        "run_test_accuracy": source.test_accuracy,
        **verdict.to_dict(),
        "versions": versions,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write(output: Path, data: bytes, text: str) -> None:
    """Put the model and its parity file in place; each is whole or untouched, whatever happens.

    Raises: ConfigurationError if they cannot be written.
    """
    contents = {output.with_name(f"{output.stem}.parity.json"): text.encode(), output: data}
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
