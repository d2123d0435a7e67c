"""The SQLite file of a spool: opened for this process alone, and each commit reaches the disk.

WAL mode with `synchronous=FULL`: https://www.sqlite.org/pragma.html#pragma_synchronous.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import BadDataError, ConfigurationError, EdgeError

FILE = "spool.sqlite"

_FORMAT = 1
_SCHEMA = (
    "CREATE TABLE image (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, created_ns INTEGER NOT NULL, "
    "key BLOB, true_label TEXT, content_type TEXT, value BLOB NOT NULL)",
    "CREATE TABLE tally (name TEXT PRIMARY KEY, count INTEGER NOT NULL)",
    "INSERT INTO tally VALUES ('dropped', 0)",
    f"PRAGMA user_version = {_FORMAT}",
)
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")


def open_file(directory: Path) -> sqlite3.Connection:
    """Open the file in a folder, or make both; nobody else can open it until it is closed.

    Raises: ConfigurationError when it cannot be used or another process uses it, BadDataError when it is damaged.
    """
    try:
        _make(directory)
    except OSError as error:
        raise ConfigurationError(f"the spool {directory} cannot be used ({error})") from None
    with told(directory):
        # Without a timeout: whoever else has it keeps it.
        database = sqlite3.connect(directory / FILE, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(database, directory)
        except BaseException:
            database.close()
            raise
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of it or, after an exception, nothing; it has reached the disk when this ends."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextmanager
def told(directory: Path) -> Iterator[None]:
    """What SQLite raises of the spool in a folder, as an error that says what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:
        # Of our own making.
        raise
    except sqlite3.Error as error:
        raise _translate(error, directory) from error


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Whether the disk is full, or does not do what it should: this may pass."""
    return getattr(error, "sqlite_errorname", "").startswith(_NO_ROOM)


def _make(directory: Path) -> None:
    """Make the folder, for its owner alone, so that it is still there after a loss of power."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
        parent = os.open(directory.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _prepare(database: sqlite3.Connection, directory: Path) -> None:
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise ConfigurationError(f"the spool {directory} cannot be used: SQLite's WAL mode does not work there")
    database.execute("PRAGMA synchronous = FULL")
    # Debian's SQLite would overwrite with zeros what is deleted, which wears the disk.
    database.execute("PRAGMA secure_delete = OFF")
    with transaction(database):
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version == 0 and tables == 0:
            for statement in _SCHEMA:
                database.execute(statement)
        elif version != _FORMAT:
            raise ConfigurationError(
                f"{directory / FILE} is no spool of this version: send what it holds with the version that made it, "
                "or name another folder with --spool"
            )


def _translate(error: sqlite3.Error, directory: Path) -> EdgeError:
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        return ConfigurationError(
            f"another process uses the spool {directory}: one spool has one sender, so end that one, or give each its "
            "own with --spool"
        )
    if is_of_the_disk(error):
        return ConfigurationError(f"the spool {directory / FILE} cannot be used ({error}): make room, or mend the disk")
    return BadDataError(
        f"the spool {directory / FILE} is damaged ({error}): move it and {FILE}-wal away, and start again with an "
        f"empty one; `sqlite3 {FILE} .recover` gets images out of a damaged file"
    )
