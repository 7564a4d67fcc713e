"""The SQLite file that the past is in: whose it is, whether it is whole, and putting it aside.

Rules for this module: synchronous, for a worker thread; every error leaves as
`DatabaseUnavailableError`. What a user of the connection asks is not its business.

Theory of operation. A file may be damaged, cut, deleted or replaced at any moment, also while it is
open, where SQLite notices nothing: it goes on with what it has in memory, and writes to a log that
has no name any more. So the file, its log and the log's index are looked at before and after each
use. Where they are others than they were, or have become shorter, the connection is closed, which
moves what the log has into the file where that can still be done, another is opened, and the file
is looked through.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs

from ticker import limits
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.files import UnsafeFileError, make_directory, open_private
from ticker.storage.history_store import DamagedRecordError
from ticker.storage.sqlite_errors import FAULTS, unavailable

__all__ = ["HistoryFile"]

_COMPANIONS: Final = ("", "-wal", "-shm")
#: Since 2, blocks and the journal have checksums; since 3, these are of their keys as well.
_VERSION: Final = 3
#: In the header of each file since version 3: `Tick`.
_APPLICATION: Final = int.from_bytes(b"Tick", "big")
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS blocks (
        symbol TEXT NOT NULL,
        step TEXT NOT NULL,
        begin INTEGER NOT NULL,
        number INTEGER NOT NULL,
        bars BLOB NOT NULL,
        PRIMARY KEY (symbol, step, begin)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS journal (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        bars BLOB NOT NULL
    )""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
#: The tables of every version, and their columns.
_COLUMNS: Final = {"blocks": "symbol, step, begin, number, bars", "journal": "number, bars"}
#: Where the header says for which SQLite the file is (https://www.sqlite.org/fileformat2.html).
_FORMATS: Final = slice(18, 20)
_FORMAT: Final = 2
#: The lower byte of an extended code, and what can only come of what is in the file where the
#: statements are always the same.
_PRIMARY_CODE: Final = 0xFF
_OF_CONTENT: Final = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_TOOBIG,
    }
)


@attrs.frozen
class _State:
    """What is known of one of the files: which it is, and how long."""

    identity: tuple[int, int] | None
    size: int


class HistoryFile:
    """A file, made where there is none, and one connection to it."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._connection: sqlite3.Connection | None = None
        self._states: list[_State] = []

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    @contextmanager
    def open(self, *, to_write: bool = False) -> Iterator[sqlite3.Connection]:
        """Give the connection; texts that it reads are bytes.

        A `DamagedRecordError` in its use says that the file is damaged.

        Args:
            to_write: whether all tables must be there; what is left of a file may be read.

        Raises:
            DatabaseUnavailableError: the file cannot be used, or is not whole.
        """
        with self._faults_told():
            if self._connection is None:
                self._connection = self._connect()
                self._states = self._look()
            elif not self._is_as_it_was():
                self.close()
                self._connection = self._connect()
                self._look_through(self._connection)
                self._states = self._look()
            if to_write:
                self._see_tables(self._connection)
            yield self._connection
            self._is_as_it_was()

    @contextmanager
    def open_beside(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection of its own, from a thread beside; None where there is nothing to use.

        Raises:
            DatabaseUnavailableError: as above; the connection of `open` stays.
        """
        try:
            if self._connection is None or not self._is_as_it_was():
                yield None
                return
            connection = self._connected()
            try:
                yield connection
            finally:
                connection.close()
            self._is_as_it_was()
        except FAULTS as error:
            raise self._told(error) from None

    def set_aside(self) -> str:
        """Rename the file, and what SQLite keeps beside it, to a name with the time; return it."""
        self.close()
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        aside = self._path.with_name(f"{self._path.name}.damaged-{moment}")
        with self._faults_told():
            for suffix in _COMPANIONS:
                with suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + suffix).rename(
                        aside.with_name(aside.name + suffix)
                    )
        return str(aside)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    # --- whether it is as it was

    def _look(self) -> list[_State]:
        return [_state(self._path.with_name(self._path.name + each)) for each in _COMPANIONS]

    def _is_as_it_was(self) -> bool:
        """Whether the files are those of the connection, and nothing was cut off from them.

        Where they are, their lengths now are what they are compared with the next time.
        """
        now = self._look()
        if [each.identity for each in now] != [each.identity for each in self._states]:
            return False
        file, log, _ = now
        file_before, log_before, _ = self._states
        if not file.size and file_before.size:
            raise self._damaged("it is empty")  # and another process may hold it as it was
        # SQLite makes the log shorter as well, but not beyond what it may keep.
        least = min(log_before.size, limits.HISTORY_LOG_BYTES)
        if file.size < file_before.size or log.size < least:
            return False
        self._states = now
        return True

    def _see_tables(self, connection: sqlite3.Connection) -> None:
        """Raise where a table was taken away, which those would notice late that use others."""
        if not all(_has(connection, table) for table in _COLUMNS):
            raise self._damaged("a table is missing")

    def _look_through(self, connection: sqlite3.Connection) -> None:
        """Raise where some of the file is not as it must be."""
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != b"ok":
            raise self._damaged(found.decode(errors="replace"))

    # --- opening

    def _connect(self) -> sqlite3.Connection:
        make_directory(self._path.parent)
        descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT)
        try:
            header = os.pread(descriptor, _FORMATS.stop, 0)
        finally:
            os.close(descriptor)
        if any(each > _FORMAT for each in header[_FORMATS]):
            raise self._damaged("it is for no SQLite that there is")  # which calls it read-only
        connection = self._connected()
        try:
            whole = self._see_whose(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {limits.HISTORY_LOG_BYTES}")
            if whole:
                self._bring_up_to_date(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            timeout=limits.HISTORY_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = bytes  # what is damaged may be no text
        return connection

    def _see_whose(self, connection: sqlite3.Connection) -> bool:
        """Refuse a file that is not to be used, before any of it is changed.

        Returns:
            Whether no table is missing of what was made once.

        Raises:
            DatabaseUnavailableError: `foreign` where another program made it, `schema` where a
                newer Ticker did.
        """
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        named = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        found = {name.decode(errors="replace") for (name,) in connection.execute(named)}
        if not (found or version or application):
            return True  # it is new
        whole = {table for table in _COLUMNS if _has(connection, table)}
        complete = whole == _COLUMNS.keys()
        ours = application == _APPLICATION or complete or (1 <= version <= _VERSION and whole)
        if ours and version > _VERSION:
            raise DatabaseUnavailableError(
                "schema", f"history {self._path} was made by a newer Ticker"
            )
        # One that was killed as an older Ticker made it has a table, and no version yet.
        if not (ours or (not version and not application and found == whole)):
            raise DatabaseUnavailableError(
                "foreign", f"history {self._path} is another program's file: move it away"
            )
        return complete or not ours

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < _VERSION:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("COMMIT")

    # --- faults

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as error:
            self.close()
            raise self._told(error) from None
        except DamagedRecordError as error:
            self.close()
            raise self._damaged(str(error)) from None
        except DatabaseUnavailableError:
            self.close()
            raise

    def _told(self, error: Exception) -> DatabaseUnavailableError:
        if isinstance(error, UnsafeFileError):
            return DatabaseUnavailableError("unsafe", f"history: {error}")
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & _PRIMARY_CODE in _OF_CONTENT:
            return self._damaged(str(error))
        return unavailable(self.place, error)

    def _damaged(self, how: str) -> DatabaseUnavailableError:
        return DatabaseUnavailableError("corrupted", f"history {self._path} is damaged: {how}")


def _state(path: Path) -> _State:
    try:
        status = path.stat()
    except FileNotFoundError:
        return _State(None, 0)
    return _State((status.st_dev, status.st_ino), status.st_size)


def _has(connection: sqlite3.Connection, table: str) -> bool:
    """Whether there is a table with the columns that it has to have."""
    try:
        connection.execute(f"SELECT {_COLUMNS[table]} FROM {table} LIMIT 0")  # noqa: S608 - constants
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return False
    return True
