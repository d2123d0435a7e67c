"""Import TensorFlow without the page of C++ log lines that no setting of TensorFlow's own silences."""

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator

from training.errors import ConfigurationError

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def import_tensorflow() -> None:
    """Import TensorFlow and let it look for devices, which is when it logs; errors are shown all the same.

    Whoever sets TF_CPP_MIN_LOG_LEVEL sees everything from that level on.
    Raises: ConfigurationError when it is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ConfigurationError(
            "training needs tensorflow, which is not installed here: . .venv-train/bin/activate after make demo, "
            "or pip install --require-hashes -r locks/train.txt"
        )
    if LEVEL in os.environ:
        importlib.import_module("tensorflow")
        return
    os.environ[LEVEL] = "3"
    with _native_stderr_kept_back():
        importlib.import_module("tensorflow").config.list_logical_devices()


@contextlib.contextmanager
def _native_stderr_kept_back() -> Iterator[None]:
    """Until absl is initialised, C++ writes to file descriptor 2 whatever the level is."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:
            kept.seek(0)
            os.write(original, kept.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
