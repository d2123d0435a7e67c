"""A SavedModel made elsewhere, with what its user says of it."""

from datetime import UTC, datetime
from pathlib import Path

from edge.errors import BadDataError
from export.source import Source

GRAPH = "saved_model.pb"


def is_saved_model(directory: Path) -> bool:
    """Whether this is a SavedModel itself, and no run that holds one."""
    return (directory / GRAPH).is_file()


def read_saved_model(
    directory: Path, labels: Path, data: Path, calibration: Path | None, pixels: str | None, is_logits: bool
) -> Source:
    """What export needs of a SavedModel that is no run's; its version is the time at which it was written.

    Raises: BadDataError for labels that cannot be read.
    """
    created = datetime.fromtimestamp((directory / GRAPH).stat().st_mtime, UTC)
    return Source(
        saved_model=directory,
        name=directory.resolve().name,
        version=created.strftime("%Y%m%d-%H%M%S"),
        run="",
        dataset=data.name,
        labels=_read_labels(labels),
        created=created.isoformat(timespec="seconds"),
        test_images=data,
        training_images=calibration,
        pixels=pixels,
        is_logits=is_logits,
    )


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise BadDataError(f"{path} cannot be read as text in UTF-8 ({error})") from None
    labels = tuple(line.strip() for line in lines)
    for number, label in enumerate(labels, 1):
        if not label or label in labels[: number - 1]:
            what = "is empty" if not label else f"repeats {label!r}"
            raise BadDataError(f"{path}: line {number} {what}; each line is the name of one class, from class 0 on")
    if not labels:
        raise BadDataError(f"{path} is empty; each line is the name of one class, from class 0 on")
    return labels
