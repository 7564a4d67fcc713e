"""A database in a SQLite file: connections, transactions, durability, faults.

Rules for this module: synchronous, for worker threads; the one place where SQLAlchemy's and
SQLite's errors are caught, and every one leaves as `DatabaseUnavailableError`.

Several processes use the file at once: the server, and `ticker keys` beside it. What is
committed survives a kill at any moment and, since every commit is synced, a power cut.

The file may go away and come back under a running server. A connection notices that it
belongs to another file than the one of that name now, and is replaced; only `migrate` ever
makes a file, so that no call finds an empty database where a full one was.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from ticker import limits
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.files import UnsafeFileError, open_private
from ticker.storage.pooled import PooledDatabase
from ticker.storage.revision import revision
from ticker.storage.schema import HEAD
from ticker.storage.urls import sqlite_path

_WRITES: Final = "ticker_writes"
_FILE: Final = "ticker_file"
_RETRY_SECONDS: Final = 0.01
#: What SQLite keeps beside the file: the log of what was written last, and its index.
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
_PRIMARY_CODE: Final = 0xFF
_MEND: Final = {
    sqlite3.SQLITE_BUSY: ("busy", "is busy: another process holds it"),
    sqlite3.SQLITE_LOCKED: ("busy", "is busy: another process holds it"),
    sqlite3.SQLITE_CANTOPEN: ("missing", "cannot be opened: it is missing or not permitted"),
    sqlite3.SQLITE_READONLY: ("readonly", "cannot be written: it is read-only"),
    sqlite3.SQLITE_PERM: ("readonly", "cannot be used: permission denied"),
    sqlite3.SQLITE_AUTH: ("readonly", "cannot be used: permission denied"),
    sqlite3.SQLITE_FULL: ("full", "cannot be written: the disk is full"),
    sqlite3.SQLITE_IOERR: ("io", "cannot be read or written: the disk reports an error"),
    sqlite3.SQLITE_CORRUPT: ("corrupted", "is damaged: restore it from a backup, or move it away"),
    sqlite3.SQLITE_NOTADB: (
        "corrupted",
        "is not a Ticker database: restore it from a backup, or move it away to start anew",
    ),
}


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


class SqliteDatabase(PooledDatabase):
    """A SQLite file of keys and tokens. Methods block; threads may share one object.

    Args:
        where: the file, or its address: `sqlite:///` and a path.

    Raises:
        DatabaseUrlError: the address is of another kind.
    """

    _faults = (SQLAlchemyError, sqlite3.Error, UnsafeFileError, OSError)

    def __init__(self, where: str | Path) -> None:
        self.path = where.absolute() if isinstance(where, Path) else sqlite_path(where)
        engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=limits.DATABASE_CONNECTIONS,
            max_overflow=0,
            pool_timeout=limits.DATABASE_BUSY_SECONDS,
            hide_parameters=True,
        )
        event.listen(engine, "connect", self._on_connect)
        event.listen(engine, "checkout", self._on_checkout)
        event.listen(engine, "begin", self._on_begin)
        super().__init__(engine, reading={_WRITES: False}, writing={_WRITES: True})

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def migrate(self) -> bool:
        """Bring the schema up to date; make the file, with mode 0600, where there is none.

        Several processes may do so at once.

        Returns:
            Whether there was none.

        Raises:
            DatabaseUnavailableError: it cannot be done; the text says what to do.
        """
        with self._faults_told():
            made = self._make_file()
            self._switch_to_wal()
        if revision(self) == HEAD:
            return made
        # Before the transaction, since others wait for its end.
        from ticker.storage.migrations.upgrade import upgrade  # noqa: PLC0415 - it takes long

        with self.write() as connection:
            upgrade(connection, self.place)
        return made

    def erase_deleted(self) -> bool:
        """Write the file anew and empty the write-ahead log.

        `secure_delete` would not do: where pages are merged, copies of rows stay behind in them.
        20,000 tokens take 60 ms, in which readers go on and writers wait.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        with (
            self._faults_told(),
            closing(self._connect(limits.DATABASE_ERASE_SECONDS)) as connection,
        ):
            connection.execute("PRAGMA temp_store = MEMORY")  # nothing of it is to be in /tmp
            try:
                connection.execute("VACUUM")
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY:
                    raise
                return False
        return not busy

    def _hold_off_others(self, connection: Connection) -> None:
        """Do nothing: `BEGIN IMMEDIATE` has held them off already."""

    def _told(self, error: Exception) -> DatabaseUnavailableError:
        if isinstance(error, UnsafeFileError):
            return DatabaseUnavailableError("unsafe", f"database {error}")
        return unavailable(self.place, error)

    def _connect(self, busy_timeout: float | None = None) -> sqlite3.Connection:
        # `mode=rw`: never to make a file. `isolation_level=None`: transactions begin in
        # `_on_begin` and nowhere else.
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=limits.DATABASE_BUSY_SECONDS if busy_timeout is None else busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )

    def _on_connect(self, connection: sqlite3.Connection, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        record.info[_FILE] = _identity(self.path)

    def _on_checkout(self, _connection: object, record: Any, _proxy: object) -> None:
        try:
            same = record.info.get(_FILE) == _identity(self.path)
        except OSError:
            same = False
        if not same:
            raise DisconnectionError("the file of that name is another one now")

    @staticmethod
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def _make_file(self) -> bool:
        """Make the file, close it and what is beside it to other users; tell if it is new."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(open_private(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            made = False
            os.close(open_private(self.path, os.O_RDWR))
        else:
            made = True
        for suffix in _COMPANIONS:
            with suppress(FileNotFoundError):
                os.close(open_private(self.path.with_name(self.path.name + suffix), os.O_RDWR))
        return made

    def _switch_to_wal(self) -> None:
        """Let readers and the writer work at once; the file remembers it.

        SQLite does not wait for others here as it does elsewhere, so we do.
        """
        deadline = time.monotonic() + limits.DATABASE_BUSY_SECONDS
        with closing(self._connect()) as connection:
            while True:
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                except sqlite3.OperationalError as error:
                    busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
                    if not busy or time.monotonic() > deadline:
                        raise
                    time.sleep(_RETRY_SECONDS)
                else:
                    return


def unavailable(place: str, error: Exception) -> DatabaseUnavailableError:
    """Say in words what an error of SQLAlchemy, sqlite3 or the system means.

    Args:
        place: the database file.
        error: what was raised.
    """
    if isinstance(error, PoolTimeoutError):
        return DatabaseUnavailableError("busy", f"database {place} is busy: too many calls at once")
    if isinstance(error, OSError):
        return DatabaseUnavailableError(
            "missing",
            f"database {place} cannot be opened: {error.strerror or type(error).__name__}",
        )
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_ERROR and "no such" in str(cause):
        return DatabaseUnavailableError(
            "schema", f"database {place} lacks the tables of this Ticker: start the server once"
        )
    reason, mend = _MEND.get(
        (code or 0) & _PRIMARY_CODE, ("failed", f"failed: {type(cause).__name__}")
    )
    return DatabaseUnavailableError(reason, f"database {place} {mend}")
