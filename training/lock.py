"""A run is trained by one process at a time: a lock on its directory, which is gone when the process is."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import ConfigurationError

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What file systems say that know no locks; there nothing keeps a second process out."""


@contextmanager
def taken(run: Path) -> Iterator[None]:
    """Keep other processes from training the run in this block.

    Raises: ConfigurationError when one trains it.
    """
    folder = os.open(run, os.O_RDONLY)
    try:
        _lock(folder, run)
        yield
    finally:
        os.close(folder)


def is_taken(run: Path) -> bool:
    """Whether a process trains the run."""
    try:
        with taken(run):
            return False
    except ConfigurationError:
        return True


def _lock(folder: int, run: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"{run} is being trained by another process") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
