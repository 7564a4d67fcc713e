"""The addresses of databases: which kinds there are, and where a file is.

Rules for this module: pure, and light to import: the settings ask it, also for commands that
use no database. A further kind of database is one entry here and a module of its own.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ticker.storage.history_store import HistoryStore
    from ticker.storage.interface import Database

_SCHEME: Final = re.compile(r"([a-z][a-z0-9]*)(\+[a-z0-9]+)?://", re.ASCII)
#: A password may hold a `/`; a host is a name, an address in brackets or none, with a port or
#: without one, and there may be several.
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/:@?#\[\],]*)(?::\d{1,5})?"
_POSTGRES: Final = re.compile(
    rf"postgresql(?:\+psycopg)?://(?P<rest>(?:[^\s@]*@)?{_HOST}(?:,{_HOST})*/[^\s/?#]+(?:\?\S*)?)",
    re.ASCII,
)
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


def postgres_url(url: str) -> str:
    """Return an address like `postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE`.

    Several hosts, and parameters of libpq, are as its documentation says:
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING

    Raises:
        DatabaseUrlError: it is none, or the driver for it is not installed.
    """
    match = _POSTGRES.fullmatch(url)
    if match is None:
        raise DatabaseUrlError(
            "expected an address as in postgresql+psycopg://user:password@host:5432/database"
        )
    if find_spec("psycopg") is None:
        raise DatabaseUrlError("PostgreSQL needs a driver: pip install 'ticker[postgres]'")
    return f"postgresql+psycopg://{match['rest']}"


def is_postgres(url: str) -> bool:
    """Whether an address is of the kind of database that several machines may share."""
    scheme = _SCHEME.match(url)
    return scheme is not None and scheme[1] == "postgresql"


#: For each kind of database by its scheme, what refuses an address of that kind.
_CHECKS: Final = {"sqlite": sqlite_path, "postgresql": postgres_url}


def check_url(url: str) -> None:
    """Refuse an address that no database can be opened with.

    Raises:
        DatabaseUrlError: the kind is unknown, or the address is not as that kind wants it.
    """
    scheme = _SCHEME.match(url)
    check = _CHECKS.get(scheme[1]) if scheme else sqlite_path
    if check is None:
        raise DatabaseUrlError("expected an address that begins with sqlite:/// or postgresql://")
    check(url)


def open_database(where: str | Path) -> Database:
    """Open the database that an address or a file names; nothing is read or made yet.

    Raises:
        DatabaseUrlError: there is no such kind of database.
    """
    if isinstance(where, str) and is_postgres(where):
        from ticker.storage.postgres import PostgresDatabase  # noqa: PLC0415 - an extra

        return PostgresDatabase(where)
    from ticker.storage.sqlite import SqliteDatabase  # noqa: PLC0415 - a client has none

    if isinstance(where, str):
        check_url(where)
    return SqliteDatabase(where)


def open_history(where: str | Path, data_dir: Path, market: str) -> HistoryStore:
    """Open the history that goes with a database; nothing is read or made yet.

    Args:
        where: the database of keys and tokens: the past is in it, if it is PostgreSQL.
        data_dir: the directory that it is in otherwise.
        market: the market's name.
    """
    if isinstance(where, str) and is_postgres(where):
        from ticker.storage.history_postgres import PostgresHistory  # noqa: PLC0415 - as above
        from ticker.storage.postgres import PostgresDatabase  # noqa: PLC0415 - as above

        return PostgresHistory(PostgresDatabase(where), market)
    from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory  # noqa: PLC0415 - as above

    return SqliteHistory(data_dir / HISTORY_FILE)
