"""Takes the first images of a run's test set as a `.npz` that the edge apps read: `make samples` calls it."""

import sys
from pathlib import Path

import numpy as np

run, target, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
with np.load(run / "predictions" / "test.npz", allow_pickle=False) as test:
    np.savez_compressed(
        target,
        image=test["image"][:count],
        label=test["label"][:count].astype(np.uint8),
        label_names=test["label_names"],
    )
