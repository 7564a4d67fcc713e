"""The addresses of databases: which kinds there are, and where a file is.

Rules for this module: pure, and light to import: the settings ask it, also for commands that
use no database. A further kind of database is one entry here and a module of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ticker.storage.interface import Database

_SCHEME: Final = re.compile(r"([a-z][a-z0-9]*)(\+[a-z0-9]+)?://", re.ASCII)
_SQLITE: Final = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)", re.ASCII)


class DatabaseUrlError(ValueError):
    """The database address is none that Ticker can use; the text repeats no part of it."""


def sqlite_path(url: str) -> Path:
    """Return the file that an address like `sqlite:///data/auth.db` names.

    Raises:
        DatabaseUrlError: it names none.
    """
    match = _SQLITE.fullmatch(url)
    if match is None or match["path"] == ":memory:" or "\0" in url:
        raise DatabaseUrlError("expected a database file, as in sqlite:///data/auth.db")
    return Path(match["path"]).absolute()


#: For each kind of database by its scheme, what refuses an address of that kind.
_CHECKS: Final = {"sqlite": sqlite_path}


def check_url(url: str) -> None:
    """Refuse an address that no database can be opened with.

    Raises:
        DatabaseUrlError: the kind is unknown, or the address is not as that kind wants it.
    """
    scheme = _SCHEME.match(url)
    check = _CHECKS.get(scheme[1], sqlite_path) if scheme else sqlite_path
    check(url)


def open_database(where: str | Path) -> Database:
    """Open the database that an address or a file names; nothing is read or made yet.

    Raises:
        DatabaseUrlError: there is no such kind of database.
    """
    from ticker.storage.sqlite import SqliteDatabase  # noqa: PLC0415 - SQLAlchemy takes long

    if isinstance(where, str):
        check_url(where)
    return SqliteDatabase(where)
