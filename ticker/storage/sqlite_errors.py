"""What an error of SQLite means, in words."""

from __future__ import annotations

import sqlite3
from typing import Final

from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.files import UnsafeFileError
from ticker.storage.sqlite_pool import PoolBusyError

#: The lower byte of an extended code (https://www.sqlite.org/rescode.html).
_PRIMARY_CODE: Final = 0xFF
_DAMAGED: Final = "is damaged: restore it from a backup, or move it away"
_MEND: Final = {
    sqlite3.SQLITE_BUSY: ("busy", "is busy: another process holds it"),
    sqlite3.SQLITE_LOCKED: ("busy", "is busy: another process holds it"),
    sqlite3.SQLITE_PROTOCOL: ("busy", "is busy: another process holds it"),
    sqlite3.SQLITE_CANTOPEN: ("missing", "cannot be opened: it is missing or not permitted"),
    sqlite3.SQLITE_READONLY: ("readonly", "cannot be written: it is read-only"),
    sqlite3.SQLITE_PERM: ("readonly", "cannot be used: permission denied"),
    sqlite3.SQLITE_AUTH: ("readonly", "cannot be used: permission denied"),
    sqlite3.SQLITE_FULL: ("full", "cannot be written: the disk is full"),
    sqlite3.SQLITE_IOERR: ("io", "cannot be read or written: the disk reports an error"),
    sqlite3.SQLITE_CORRUPT: ("corrupted", _DAMAGED),
    sqlite3.SQLITE_FORMAT: ("corrupted", _DAMAGED),
    sqlite3.SQLITE_NOTADB: (
        "corrupted",
        "is not a Ticker database: restore it from a backup, or move it away to start anew",
    ),
}
#: What is told by `unavailable`. SQLite's driver has text that is no UTF-8 leave as a
#: `UnicodeDecodeError` where it is in the message of an error.
FAULTS: Final = (sqlite3.Error, UnicodeDecodeError, UnsafeFileError, PoolBusyError, OSError)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection stood in the way."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_BUSY


def is_bad_text(error: Exception) -> bool:
    """Whether the file has text that is none; the driver tells of that without a code."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) is None
    return isinstance(error, UnicodeDecodeError)


def unavailable(place: str, error: Exception) -> DatabaseUnavailableError:
    """Say in words what an error means.

    Args:
        place: the database file.
        error: one of `FAULTS`.
    """
    if isinstance(error, UnsafeFileError):
        return DatabaseUnavailableError("unsafe", f"database {error}")
    if isinstance(error, PoolBusyError):
        return DatabaseUnavailableError("busy", f"database {place} is busy: too many calls at once")
    if isinstance(error, OSError):
        return DatabaseUnavailableError(
            "missing",
            f"database {place} cannot be opened: {error.strerror or type(error).__name__}",
        )
    if is_bad_text(error):
        return DatabaseUnavailableError("corrupted", f"database {place} {_DAMAGED}")
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return DatabaseUnavailableError(
            "schema", f"database {place} lacks the tables of this Ticker: start the server once"
        )
    reason, mend = _MEND.get(
        (code or 0) & _PRIMARY_CODE, ("failed", f"failed: {type(error).__name__}")
    )
    return DatabaseUnavailableError(reason, f"database {place} {mend}")
