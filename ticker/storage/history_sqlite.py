"""The past in a SQLite file: one connection, a transaction a second.

Rules for this module: synchronous, for a worker thread; every error of SQLite leaves as
`DatabaseUnavailableError` (`history_file`). The file has a write-ahead log: a kill at any moment
loses nothing that was committed. `tidy`, on a connection of its own, syncs the log and moves it
into the file (a passive checkpoint, which holds no writer up:
https://www.sqlite.org/wal.html#ckpt), so that a power cut loses what came since, and no writing
waits for the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ticker.storage.history_file import HistoryFile
from ticker.storage.history_records import open_block, read_number, read_text, seal_block, seal_rows
from ticker.storage.history_store import Block, Changes, DamagedRecordError

__all__ = ["HISTORY_FILE", "SqliteHistory"]

#: The file in the data directory.
HISTORY_FILE: Final = "history.db"


class SqliteHistory:
    """The past in a file, which is made where there is none."""

    def __init__(self, path: Path) -> None:
        self._file = HistoryFile(path)

    def __repr__(self) -> str:
        return f"<SqliteHistory {self.place}>"

    @property
    def place(self) -> str:
        """The file."""
        return self._file.place

    def symbols(self) -> Sequence[str]:
        """Return the symbols that there are blocks of."""
        with self._file.open() as connection:
            rows = connection.execute("SELECT DISTINCT symbol FROM blocks ORDER BY symbol")
            return [read_text(symbol) for (symbol,) in rows]

    def blocks(self, symbol: str) -> Sequence[Block | DamagedRecordError]:
        """Return the blocks of a symbol, by step and begin; for a damaged one what is wrong."""
        query = "SELECT step, begin, number, bars FROM blocks WHERE symbol = ? ORDER BY step, begin"
        with self._file.open() as connection:
            rows = connection.execute(query, (symbol,)).fetchall()
        return [open_block(symbol, *row) for row in rows]

    def filled(self, after: int) -> Sequence[Block | DamagedRecordError]:
        """Return the blocks of exchanges' own bars that were written after a row of the journal."""
        query = (
            "SELECT symbol, step, begin, number, bars FROM blocks "
            "WHERE step LIKE '%*' AND number > ? ORDER BY symbol, step, begin"
        )
        with self._file.open() as connection:
            rows = connection.execute(query, (after,)).fetchall()
        return [open_block(*row) for row in rows]

    def journal(self, after: int = 0) -> Sequence[tuple[int, object]]:
        """Return the journal's rows above a number, with their numbers, which only grow."""
        query = "SELECT number, bars FROM journal WHERE number > ? ORDER BY number"
        with self._file.open() as connection:
            return connection.execute(query, (after,)).fetchall()

    def write(self, changes: Changes) -> int:
        """Write all of it or nothing; return the number of the journal's last row."""
        with self._file.open(to_write=True) as connection:
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
        number = self._last_number(connection)
        if changes.journal:
            number += 1  # which is in the checksum, and so is given
            row = number, seal_rows(changes.journal, number)
            connection.execute("INSERT INTO journal VALUES (?, ?)", row)
        connection.executemany(
            "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)",
            [
                (each.symbol, each.step, each.begin, number, seal_block(each, number))
                for each in changes.blocks
            ],
        )
        connection.executemany(
            "DELETE FROM blocks WHERE symbol = ? AND step = ? AND begin < ?", changes.expired
        )
        if changes.forget:
            connection.execute("DELETE FROM journal WHERE number < ?", (changes.forget,))
        return number

    def _last_number(self, connection: sqlite3.Connection) -> int:
        """Return the number of the journal's last row, also where that was forgotten."""
        last = connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'journal' "
            "UNION ALL SELECT max(number) FROM journal"
        )
        return max(0 if number is None else read_number(number) for (number,) in last)

    def tidy(self) -> None:
        """Sync the log and move it into the file, beside the writer."""
        with self._file.open_beside() as connection:
            if connection is not None:
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def set_aside(self) -> str | None:
        """Rename the file, and what SQLite keeps beside it, to a name with the time."""
        return self._file.set_aside()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._file.close()
