"""The SQLite file that the past is in: opening it, whether it is whole, and putting it aside.

Rules for this module: synchronous, for a worker thread; every error leaves as
`DatabaseUnavailableError`. Whose file it is, `history_schema` tells; what a user of the connection
asks is not its business.

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
from ticker.storage.history_schema import bring_up_to_date, has_tables, see_whose
from ticker.storage.history_store import DamagedRecordError
from ticker.storage.sqlite_errors import FAULTS, unavailable

__all__ = ["HistoryFile"]

_COMPANIONS: Final = ("", "-wal", "-shm")
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
            if to_write and not has_tables(self._connection):
                raise self._damaged("a table is missing")  # which may not be written for minutes
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
            whole = see_whose(connection, self.place)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {limits.HISTORY_LOG_BYTES}")
            if whole:
                bring_up_to_date(connection)
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
