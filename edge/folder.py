"""A folder into which image files are put: each is taken once it is complete, and then moved aside."""

import hashlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.errors import BadDataError, ConfigurationError
from edge.outage import Outage
from edge.pictures import SUFFIXES
from edge.sensed import MAX_VALUE_BYTES, Sensed

log = logging.getLogger(__name__)

SENT = "sent"
SETTLE_S = 0.5
"""A file that has not changed for so long is complete."""
RETRY_S = 1.0
"""When an image that was not taken is offered again."""
MAX_FILE_BYTES = 64 * 1024 * 1024

Decode = Callable[[bytes], tuple[bytes, str | None]]


class _State(NamedTuple):
    """What differs when a file is written to, or another one takes its name; FAT has no lasting inode numbers."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> "_State":
        return cls(stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class _File:
    name: str
    state: _State


class Folder:
    """The PNG and JPEG files of a folder, oldest first; those whose name begins with a dot are somebody's drafts.

    A file is moved to `sent/` in the folder once its image is safe. After a crash in between, its image comes again,
    with the same id: that is a hash of the file's name, time and content. A file that cannot be read is left where it
    is, told once, and read again when it changes.
    """

    is_lasting = True

    def __init__(self, path: Path, decode: Decode, key: bytes | None) -> None:
        """Raises: ConfigurationError when there can be no `sent` in the folder."""
        self.broken = 0
        self._path = path
        self._decode = decode
        self._key = key
        self._seen: dict[str, tuple[_State, float]] = {}
        self._done: dict[str, _State] = {}
        self._ready: deque[_File] = deque()
        self._in_hand: dict[str, _File] = {}
        self._not_before = 0.0
        self._away = Outage(f"the folder {path} cannot be read", f"the folder {path} can be read again")
        try:
            (path / SENT).mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"files of {path} are moved to its folder {SENT!r} when they are sent, which cannot be made ({error})"
            ) from None
        log.info("watching %s for image files (%s)", path, ", ".join(SUFFIXES))

    def next(self) -> Sensed | None:
        """The image of the oldest complete file, None while there is none."""
        if time.monotonic() < self._not_before:
            return None
        if not self._ready:
            self._ready.extend(self._complete())
        while self._ready:
            image = self._read(self._ready.popleft())
            if image is not None:
                return image
        return None

    def accepted(self, image_id: str) -> None:
        """Move the file of an image aside, unless another one has its name by now."""
        file = self._in_hand.pop(image_id)
        path, target = self._path / file.name, self._path / SENT / file.name
        if target.exists():
            target = _renamed(target, image_id)
        try:
            if _State.of(path.stat()) != file.state:
                return
            path.rename(target)
            if _State.of(target.stat()) != file.state:
                # It came at the last moment, and was not read.
                target.rename(_renamed(path, image_id))
        except FileNotFoundError:
            log.debug("%s is gone by itself", path)
        except OSError as error:
            log.warning(
                "%s is sent, but cannot be moved to %s (%s): the next start sends it again", path, target, error
            )

    def refused(self, image_id: str) -> None:
        """Offer the image again in a while, and the others after it."""
        self._done.pop(self._in_hand.pop(image_id).name, None)
        self._ready.clear()
        self._not_before = time.monotonic() + RETRY_S

    def _complete(self) -> list[_File]:
        """Files that are new and do not change any more, oldest first."""
        files, now, before, done = self._files(), time.monotonic(), self._seen, self._done
        if files is None:
            return []
        self._seen, self._done = {}, {}
        complete = []
        for name, state in files:
            if done.get(name) == state:
                self._done[name] = state
                continue
            earlier, since = before.get(name, (state, now))
            self._seen[name] = (state, since if earlier == state else now)
            if now - self._seen[name][1] >= SETTLE_S:
                complete.append(_File(name, state))
        return sorted(complete, key=lambda file: (file.state.modified_ns, file.name))

    def _files(self) -> list[tuple[str, _State]] | None:
        """The files that are there now, None when nobody knows."""
        try:
            with os.scandir(self._path) as entries:
                files = [_look(entry) for entry in entries if _is_image(entry.name)]
        except OSError as error:
            self._away.note(True, error)
            return None
        self._away.note(False)
        return [file for file in files if file is not None]

    def _read(self, file: _File) -> Sensed | None:
        try:
            with (self._path / file.name).open("rb") as opened:
                if _State.of(os.fstat(opened.fileno())) != file.state:
                    # It is still changing.
                    return None
                data = opened.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise BadDataError(f"it has more than {MAX_FILE_BYTES:,} bytes")
            value, content_type = self._decode(data)
            if len(value) > MAX_VALUE_BYTES:
                raise BadDataError(f"its pixels take {len(value):,} bytes, which is more than a Kafka record holds")
        except FileNotFoundError:
            return None
        except (OSError, BadDataError) as error:
            self._done[file.name] = file.state
            self.broken += 1
            log.warning("%s is left where it is, and not sent: %s", self._path / file.name, error)
            return None
        image_id = _id(file, data)
        self._done[file.name] = file.state
        self._in_hand[image_id] = file
        return Sensed(image_id, time.time_ns(), self._key, value, None, content_type)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _look(entry: os.DirEntry[str]) -> tuple[str, _State] | None:
    try:
        return (entry.name, _State.of(entry.stat())) if entry.is_file() else None
    except FileNotFoundError:
        # It has gone meanwhile.
        return None
    except OSError:
        # Reading it will say why, and that once: a link that leads to itself does not stand for its folder.
        return entry.name, _State(0, 0)


def _id(file: _File, data: bytes) -> str:
    digest = hashlib.sha256(f"{file.name}\0{file.state.modified_ns}\0".encode(errors="surrogateescape"))
    digest.update(data)
    return digest.hexdigest()[:32]


def _renamed(path: Path, image_id: str) -> Path:
    return path.with_name(f"{path.stem}-{image_id[:8]}{path.suffix}")
