"""Keeps images on the disk until Kafka has them: a crash, or a loss of power, loses none that was stored.

The bound is on the pages that are in use: the file grows to that, never shrinks, and is filled again.
"""

import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.outage import Outage
from edge.outbox import REFUSE, Bounds
from edge.sensed import Sensed
from edge.spoolfile import FILE, is_of_the_disk, open_file, told, transaction
from edge.tally import Tally

_COLUMNS = "seq, id, created_ns, key, true_label, content_type, value"
_INSERT = f"INSERT INTO image ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 no input of others
_NEXT = f"SELECT {_COLUMNS} FROM image WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 no input of others
_OLDEST = "DELETE FROM image WHERE seq IN (SELECT seq FROM image WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?)"


@dataclass
class Counts:
    """What became of images since this process opened the spool; `dropped_ever` is since the spool was made."""

    stored: int = 0
    refused: int = 0
    dropped: int = 0
    dropped_ever: int = 0
    sent: int = 0


class _FullError(Exception):
    """The spool has no room for one more image."""


class Spool:
    """Images in the order in which they were stored; safe to use from several threads.

    At least once: an image leaves it only when it is deleted, or dropped for a bound. Those that were taken and neither
    deleted nor given back are on their way, and are not dropped. Numbers are not used twice in a process, so that what
    is acknowledged late deletes nothing else.
    """

    def __init__(self, directory: Path, bounds: Bounds | None = None) -> None:
        """Open the spool in a folder, or make one.

        Raises: ConfigurationError when it cannot be used or another process uses it, BadDataError when it is damaged.
        """
        self.counts = Counts()
        self._directory = directory
        self._bounds = bounds or Bounds()
        self._lock = threading.RLock()
        self._refusals = Tally("%(count)d images were not accepted: %(reason)s")
        self._drops = Tally("%(count)d images were dropped from the spool: %(reason)s")
        self._deleting = Outage("nothing can be deleted from the spool", "the spool can be written again")
        self._taken = 0
        self._refused_id: str | None = None
        self._database = open_file(directory)
        try:
            with told(directory):
                self._left = self._one("SELECT count(*) FROM image") or 0
                self._last, self._last_id = self._look()
                self.counts.dropped_ever = self._one("SELECT count FROM tally WHERE name = 'dropped'") or 0
        except BaseException:
            self._database.close()
            raise

    @property
    def left(self) -> int:
        """How many images it holds."""
        return self._left

    def put(self, image: Sensed) -> bool:
        """Store an image; True once it is on the disk, False, after a line in the log, when there is no room."""
        with self._lock, told(self._directory):
            if image.id == self._last_id:
                # Stored just before a crash, and then offered again.
                return True
            self.expire()
            self._last += 1
            row = (self._last, image.id, image.created_ns, image.key, image.true_label, image.content_type, image.value)
            try:
                with transaction(self._database):
                    self._database.execute(_INSERT, row)
                    dropped = self._make_room()
            except _FullError:
                return self._refuse(
                    image, f"the spool is full, with {self._bounds.max_bytes:,} bytes (--spool-max-bytes)"
                )
            except sqlite3.Error as error:
                if not is_of_the_disk(error):
                    raise
                return self._refuse(image, f"{self._directory / FILE} cannot be written ({error})")
            if image.id == self._refused_id:
                # It was offered again.
                self.counts.refused -= 1
            self._last_id, self._refused_id = image.id, None
            self._left += 1
            self.counts.stored += 1
            self._note_dropped(dropped, f"it was full, with {self._bounds.max_bytes:,} bytes (--spool-max-bytes)")
            return True

    def take(self, max_images: int, max_bytes: int) -> list[tuple[int, Sensed]]:
        """The next images with their numbers, to send and then to delete; at least one, if there is one."""
        taken: list[tuple[int, Sensed]] = []
        with self._lock, told(self._directory):
            self.expire()
            for seq, image_id, created_ns, key, label, content_type, value in self._database.execute(
                _NEXT, (self._taken, max_images)
            ):
                taken.append((seq, Sensed(image_id, created_ns, key, value, label, content_type)))
                max_bytes -= len(value)
                if max_bytes <= 0:
                    break
            self._taken = taken[-1][0] if taken else self._taken
        return taken

    def give_back(self) -> None:
        """Those that were taken and not deleted are the next to take again."""
        with self._lock:
            self._taken = 0

    def delete(self, numbers: Sequence[int]) -> bool:
        """Let go of images that have arrived; False, after a line in the log, when the disk does not let us."""
        with self._lock, told(self._directory):
            try:
                with transaction(self._database):
                    rows = [(number,) for number in numbers]
                    deleted = self._database.executemany("DELETE FROM image WHERE seq = ?", rows).rowcount
            except sqlite3.Error as error:
                return self._cannot_delete(error)
            self._deleting.note(False)
            self._left -= deleted
            self.counts.sent += deleted
            return True

    def expire(self) -> None:
        """Drop what is older than the spool keeps."""
        if self._bounds.max_age_s is None:
            return
        with self._lock, told(self._directory):
            after, oldest_ns = self._taken, time.time_ns() - int(self._bounds.max_age_s * 1e9)
            first_ns = self._one("SELECT created_ns FROM image WHERE seq > ? ORDER BY seq LIMIT 1", after)
            if first_ns is None or first_ns >= oldest_ns:
                return
            fresh = "SELECT seq FROM image WHERE seq > ? AND created_ns >= ? ORDER BY seq LIMIT 1"
            end = self._one(fresh, after, oldest_ns) or self._last + 1
            try:
                with transaction(self._database):
                    dropped = self._drop(after, end, self._last)
                    self._count(dropped)
            except sqlite3.Error as error:
                self._cannot_delete(error)
                return
            self._note_dropped(dropped, f"they were older than {self._bounds.max_age_s:g} s (--spool-max-age)")

    def close(self) -> None:
        """Let go of the file; says once more what was not accepted, or dropped."""
        with self._lock:
            self._database.close()
            self._refusals.tell(is_last=True)
            self._drops.tell(is_last=True)

    def _look(self) -> tuple[int, str | None]:
        """The last one's number and id."""
        row = self._database.execute("SELECT seq, id FROM image ORDER BY seq DESC LIMIT 1").fetchone()
        return (0, None) if row is None else (int(row[0]), str(row[1]))

    def _make_room(self) -> int:
        """Drop the oldest until the bound holds; returns how many. Raises _FullError when that is not allowed."""
        dropped, step = 0, 1
        while self._used_bytes() > self._bounds.max_bytes:
            gone = 0 if self._bounds.when_full == REFUSE else self._drop(self._taken, self._last, step)
            if not gone:
                raise _FullError
            dropped, step = dropped + gone, step * 2
        self._count(dropped)
        return dropped

    def _used_bytes(self) -> int:
        pages, free, size = (self._one(f"PRAGMA {name}") or 0 for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def _drop(self, after: int, before: int, limit: int) -> int:
        return self._database.execute(_OLDEST, (after, before, limit)).rowcount

    def _count(self, dropped: int) -> None:
        if dropped:
            self._database.execute("UPDATE tally SET count = count + ? WHERE name = 'dropped'", (dropped,))

    def _one(self, query: str, *values: int) -> int | None:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else int(row[0])

    def _refuse(self, image: Sensed, reason: str) -> bool:
        if image.id != self._refused_id:
            self._refused_id = image.id
            self.counts.refused += 1
            self._refusals.note(reason)
        return False

    def _cannot_delete(self, error: sqlite3.Error) -> bool:
        if not is_of_the_disk(error):
            raise error
        self._deleting.note(True, error)
        return False

    def _note_dropped(self, count: int, reason: str) -> None:
        if count:
            self._left -= count
            self.counts.dropped += count
            self.counts.dropped_ever += count
            self._drops.note(reason, count)
