"""What can be wrong with the database, told in words.

Rules for this module: one function from any database error to one `DatabaseUnavailableError`;
no statement, no value and no secret in its text.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

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
_PRIMARY_CODE: Final = 0xFF


class DatabaseUnavailableError(Exception):
    """The database cannot be used now; the text is one line without a secret.

    Attributes:
        reason: one word: `busy`, `missing`, `readonly`, `full`, `io`, `corrupted`, `schema`,
            `slow` or `failed`.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


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
