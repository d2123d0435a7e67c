"""The data directory: given and kept, or temporary; taken by one process at a time, and watched meanwhile."""

import base64
import fcntl
import json
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO

from localkafka.errors import BadConfigurationError, BrokerError
from localkafka.jvm import Watcher

NEEDED_BYTES = 100 * 1024 * 1024
LOCK, CLUSTER = "localkafka.lock", "cluster.json"


class DataDirectory:
    """A directory that `take` makes and locks, and `release` gives back; a temporary one goes with `remove`."""

    def __init__(self, given: Path | None) -> None:
        self._given = given
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        self._watcher: Watcher | None = None

    @property
    def is_temporary(self) -> bool:
        return self._given is None

    @property
    def path(self) -> Path:
        """Its absolute path; a temporary one is made now."""
        if self._given is not None:
            return self._given.absolute()
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="localkafka-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)

    def take(self, nodes: int) -> str:
        """Return the identity of the cluster whose data are, or will be, here.

        Raises: BadConfigurationError for a directory that cannot be used, BrokerError for a full disk.
        """
        if self._lock is None:
            self._take_lock()
            needed = NEEDED_BYTES * nodes
            free = shutil.disk_usage(self.path).free
            if free < needed:
                raise BrokerError(f"{self.path} has {free >> 20} MB left; Apache Kafka needs {needed >> 20} MB")
        return self._cluster(nodes)

    def watcher(self) -> Watcher:
        """What kills the processes that work here, and removes a temporary directory, if this process dies."""
        if self._watcher is None:
            self._watcher = Watcher(self.path if self.is_temporary else None)
        return self._watcher

    def release(self) -> None:
        """Let others take it; a temporary one stays watched until `remove`."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if not self.is_temporary:
            self._end_watcher()

    def remove(self) -> None:
        """Remove it, if it is temporary."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
            self._end_watcher()

    def _end_watcher(self) -> None:
        if self._watcher is not None:
            self._watcher.end()
            self._watcher = None

    def _take_lock(self) -> None:
        directory = self.path
        try:
            directory.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in directory.iterdir()}
            if names and LOCK not in names:
                raise BadConfigurationError(f"{directory} holds other files: name an empty or a new data directory")
            self._lock = (directory / LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadConfigurationError(f"{directory} is in use by another localkafka: stop it first") from None
        except OSError as error:
            raise BadConfigurationError(f"cannot use the data directory {directory}: {error.strerror}") from None

    def _cluster(self, nodes: int) -> str:
        """Chosen once, and kept beside the data: an interrupted start may have formatted some of the nodes."""
        file = self.path / CLUSTER
        if not file.exists():
            # The fixed first bytes keep a '-' from the front, which the tool would take for an option.
            identity = base64.urlsafe_b64encode(b"lk" + secrets.token_bytes(14)).decode("ascii").rstrip("=")
            new = file.with_suffix(".new")
            new.write_text(json.dumps({"id": identity, "nodes": nodes}), "ascii")
            new.rename(file)
        made = json.loads(file.read_text("ascii"))
        if made["nodes"] != nodes:
            raise BadConfigurationError(f"{self.path} is of a cluster with --nodes {made['nodes']}: start it so")
        return str(made["id"])
