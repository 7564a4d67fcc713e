"""The past in a SQLite file: one connection, a transaction a second.

Rules for this module: synchronous, for a worker thread; every error of SQLite leaves as
`DatabaseUnavailableError`. The file has a write-ahead log: a kill at any moment loses nothing that
was committed. `tidy`, on a connection of its own, syncs the log and moves it into the file (a
passive checkpoint, which holds no writer up: https://www.sqlite.org/wal.html#ckpt), so that a power
cut loses what came since, and no writing waits for the disk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ticker import limits
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.files import UnsafeFileError, make_directory, open_private
from ticker.storage.history_store import Block, Changes
from ticker.storage.sqlite_errors import unavailable

__all__ = ["HISTORY_FILE", "SqliteHistory"]

#: The file in the data directory.
HISTORY_FILE: Final = "history.db"
_COMPANIONS: Final = ("", "-wal", "-shm")
#: Since 2, blocks and the journal have checksums.
_VERSION: Final = 2
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
    f"PRAGMA user_version = {_VERSION}",
)
#: The tables of every version, and their columns.
_COLUMNS: Final = {"blocks": "symbol, step, begin, number, bars", "journal": "number, bars"}


class SqliteHistory:
    """The past in a file, which is made where there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<SqliteHistory {self._path}>"

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    def symbols(self) -> Sequence[str]:
        """Return the symbols that there are blocks of."""
        with self._open() as connection:
            rows = connection.execute("SELECT DISTINCT symbol FROM blocks ORDER BY symbol")
            return [symbol for (symbol,) in rows]

    def blocks(self, symbol: str) -> Sequence[Block]:
        """Return the blocks of a symbol, by step and begin."""
        query = "SELECT step, begin, bars, number FROM blocks WHERE symbol = ? ORDER BY step, begin"
        with self._open() as connection:
            rows = connection.execute(query, (symbol,)).fetchall()
        return [Block(symbol, *row) for row in rows]

    def filled(self, after: int) -> Sequence[Block]:
        """Return the blocks of exchanges' own bars that were written after a row of the journal."""
        query = (
            "SELECT symbol, step, begin, bars, number FROM blocks "
            "WHERE step LIKE '%*' AND number > ? ORDER BY symbol, step, begin"
        )
        with self._open() as connection:
            rows = connection.execute(query, (after,)).fetchall()
        return [Block(*row) for row in rows]

    def journal(self, after: int = 0) -> Sequence[tuple[int, bytes]]:
        """Return the journal's rows above a number, with their numbers, which only grow."""
        query = "SELECT number, bars FROM journal WHERE number > ? ORDER BY number"
        with self._open() as connection:
            return connection.execute(query, (after,)).fetchall()

    def write(self, changes: Changes) -> int:
        """Write all of it or nothing; return the number of the journal's last row."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                number = self._write(connection, changes)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        return number

    def _write(self, connection: sqlite3.Connection, changes: Changes) -> int:
        if changes.journal:
            connection.execute("INSERT INTO journal (bars) VALUES (?)", (changes.journal,))
        last = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
        row = connection.execute(last).fetchone()
        number = 0 if row is None else int(row[0])
        connection.executemany(
            "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)",
            [(each.symbol, each.step, each.begin, number, each.bars) for each in changes.blocks],
        )
        connection.executemany(
            "DELETE FROM blocks WHERE symbol = ? AND step = ? AND begin < ?", changes.expired
        )
        if changes.forget:
            connection.execute("DELETE FROM journal WHERE number < ?", (changes.forget,))
        return number

    def tidy(self) -> None:
        """Sync the log and move it into the file, beside the writer."""
        if self._connection is None or self._identity() != self._file:
            return
        try:
            with closing(self._connected()) as connection:
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:  # the connection that writes stays open
            raise unavailable(self.place, error) from None

    def set_aside(self) -> str | None:
        """Rename the file, and what SQLite keeps beside it, to a name with the time."""
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
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give the connection, to the file that has the name now."""
        with self._faults_told():
            if self._connection is None or self._identity() != self._file:
                self.close()
                self._connection = self._connect()
                self._file = self._identity()
            yield self._connection

    def _connect(self) -> sqlite3.Connection:
        make_directory(self._path.parent)
        os.close(open_private(self._path, os.O_RDWR | os.O_CREAT))
        connection = self._connected()
        try:
            self._see_whose(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {limits.HISTORY_LOG_BYTES}")
            self._bring_up_to_date(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            timeout=limits.HISTORY_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def _see_whose(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that another program made, or a newer Ticker, before any of it is changed.

        Raises:
            DatabaseUnavailableError: `foreign` or `schema`.
        """
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not self._is_ours(connection, version):
            raise DatabaseUnavailableError(
                "foreign", f"history {self._path} is another program's file: move it away"
            )
        if version > _VERSION:
            raise DatabaseUnavailableError(
                "schema", f"history {self._path} was made by a newer Ticker"
            )

    def _is_ours(self, connection: sqlite3.Connection, version: int) -> bool:
        named = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        found = {name for (name,) in connection.execute(named)}
        if not found:
            return not version and not connection.execute("PRAGMA application_id").fetchone()[0]
        try:
            for table in found & _COLUMNS.keys():
                connection.execute(f"SELECT {_COLUMNS[table]} FROM {table} LIMIT 0")  # noqa: S608 - constants
        except sqlite3.OperationalError:
            return False
        # A newer one may have more; one that was killed as it was made by an older Ticker, less.
        return found >= _COLUMNS.keys() or (not version and found <= _COLUMNS.keys())

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < _VERSION:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("COMMIT")

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except UnsafeFileError as error:
            raise DatabaseUnavailableError("unsafe", f"history: {error}") from None
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise unavailable(self.place, error) from None
