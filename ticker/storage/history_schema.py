"""The tables of the past's SQLite file, of which version they are, and whose file it is.

Rules for this module: it is given a connection, and has errors of SQLite pass. A file is seen to
before any of it is changed: it may be another program's that has the same name.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ticker.storage.errors import DatabaseUnavailableError

__all__ = ["bring_up_to_date", "has_tables", "see_whose"]

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


def see_whose(connection: sqlite3.Connection, place: str) -> bool:
    """Refuse a file that is not to be used.

    Args:
        connection: to the file; texts that it reads are bytes.
        place: the file, for people.

    Returns:
        Whether no table is missing of what was made once.

    Raises:
        DatabaseUnavailableError: `foreign` where another program made it, `schema` where a newer
            Ticker did.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    named = "SELECT CAST(name AS BLOB) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    found = {name.decode(errors="replace") for (name,) in connection.execute(named)}
    if not (found or version or application):
        return True  # it is new
    whole = {table for table in _COLUMNS if _has(connection, table)}
    complete = whole == _COLUMNS.keys()
    ours = application == _APPLICATION or complete or (1 <= version <= _VERSION and whole)
    if ours and version > _VERSION:
        raise DatabaseUnavailableError("schema", f"history {place} was made by a newer Ticker")
    # One that was killed as an older Ticker made it has a table, and no version yet.
    if not (ours or (not version and not application and found == whole)):
        raise DatabaseUnavailableError(
            "foreign", f"history {place} is another program's file: move it away"
        )
    return complete or not ours


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make what a new file, or one of an earlier version, lacks."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < _VERSION:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether all tables are there with their columns."""
    return all(_has(connection, table) for table in _COLUMNS)


def _has(connection: sqlite3.Connection, table: str) -> bool:
    try:
        connection.execute(f"SELECT {_COLUMNS[table]} FROM {table} LIMIT 0")  # noqa: S608 - constants
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return False
    return True
