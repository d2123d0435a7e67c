"""Checks of the model, as a classifier would load it: file, hash, contract, golden inputs, speed."""

import time
from collections.abc import Iterator

import numpy as np

from edge.model import RUN_BATCH, Model, first_line, load_model
from edge.preflight import Finding, Preflight, ok, skipped, warning

MEASURE_S = 0.5
WARM_UP_S = 10.0
"""A start that takes longer is worth a line: a restart leaves that gap."""


def model(preflight: Preflight) -> Iterator[Finding]:
    """The file, its hash and its contract; loading compares its golden inputs, too."""
    if preflight.model_path is None:
        yield skipped("model", "no --model is named")
        return
    started = time.monotonic()
    # Raises what a classifier would say and exit with.
    loaded = load_model(preflight.model_path, preflight.contract_path, preflight.model_sha256)
    took_s = time.monotonic() - started
    preflight.model, contract = loaded, loaded.contract
    shape = "x".join(map(str, contract.shape))
    accuracy = "" if contract.test_accuracy is None else f", test accuracy {contract.test_accuracy:.4f}"
    pinned = "as --model-sha256 asks for" if preflight.model_sha256 else "not pinned by --model-sha256"
    yield ok(
        "model",
        f"{preflight.model_path}: {contract.name!r}, SHA-256 {loaded.sha256}… ({pinned}), {contract.precision}, images "
        f"of {shape} {contract.dtype}, {len(contract.labels)} classes{accuracy}",
    )
    if took_s > WARM_UP_S:
        yield warning("model", f"it takes {took_s:.1f} s to load and warm up: each start leaves that gap")
    else:
        yield ok("model", f"loaded and warmed up in {took_s:.2f} s")


def golden(preflight: Preflight) -> Iterator[Finding]:
    """Whether the model computes here what it did at export: loading has compared them."""
    assert preflight.model is not None  # noqa: S101 the check of the model left it
    count = len(preflight.model.contract.golden)
    if count:
        yield ok("golden inputs", f"all {count} are answered as at export")
    else:
        yield warning("golden inputs", "the contract has none, so nobody knows whether this device computes rightly")


def speed(preflight: Preflight) -> Iterator[Finding]:
    """Images per second on one thread, one at a time and in batches."""
    assert preflight.model is not None  # noqa: S101 the check of the model left it
    single = _rate(preflight.model, 1)
    try:
        batched = _rate(preflight.model, RUN_BATCH)
    except Exception as error:  # onnxruntime's errors share no root of their own
        yield warning(
            "speed",
            f"the model fails on {RUN_BATCH} images at once ({first_line(error)}): it would get each by itself, "
            f"{single:,.0f} a second; export it with a dynamic batch",
        )
        return
    yield ok(
        "speed",
        f"{batched:,.0f} images/s in batches of {RUN_BATCH}, {single:,.0f} one at a time "
        f"({1000 / single:.2f} ms each), on one thread, without Kafka",
    )


def _rate(model: Model, batch: int) -> float:
    images = np.stack([model.contract.example] * batch)
    started = time.monotonic()
    count = 0
    while (took_s := time.monotonic() - started) < MEASURE_S or not count:
        model.infer(images)
        count += batch
    return count / took_s
