"""The one way into the database file: connections, transactions, durability, faults.

Rules for this module: synchronous, for worker threads; the one place where SQLAlchemy's and
SQLite's errors are caught, and every one leaves as `DatabaseUnavailableError`.

Several processes use the file at once: the server, and `ticker keys` beside it. What is
committed survives a kill at any moment and, since every commit is synced, a power cut.

The file may go away and come back under a running server. A connection notices that it
belongs to another file than the one of that name now, and is replaced; only `migrate` ever
makes a file, so that no call finds an empty database where a full one was.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from ticker import limits
from ticker.storage.errors import DatabaseUnavailableError, unavailable
from ticker.storage.schema import HEAD

__all__ = ["Database", "DatabaseUnavailableError", "DatabaseUrlError"]

_WRITES: Final = "ticker_writes"
_FILE: Final = "ticker_file"
_RETRY_SECONDS: Final = 0.01
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class DatabaseUrlError(ValueError):
    """The database address is none that Ticker can use; the text repeats no part of it."""


def _path_of(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if (
        parsed is None
        or parsed.get_backend_name() != "sqlite"
        or parsed.host
        or not parsed.database
        or parsed.database == ":memory:"
        or parsed.query
    ):
        raise DatabaseUrlError("expected a database file, as in sqlite:///data/auth.db")
    return Path(parsed.database).absolute()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


class Database:
    """A SQLite file of keys and tokens. Methods block; threads may share one object.

    Args:
        where: the file, or its address: `sqlite:///` and a path.

    Raises:
        DatabaseUrlError: the address is of another kind.
    """

    def __init__(self, where: str | Path) -> None:
        self.path = where.absolute() if isinstance(where, Path) else _path_of(where)
        self._closed = False
        self._engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=limits.DATABASE_CONNECTIONS,
            max_overflow=0,
            pool_timeout=limits.DATABASE_BUSY_SECONDS,
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", self._on_connect)
        event.listen(self._engine, "checkout", self._on_checkout)
        event.listen(self._engine, "checkin", self._on_checkin)
        event.listen(self._engine, "begin", self._on_begin)
        # The same connections, only that their transactions begin as writers.
        self._writing = self._engine.execution_options(**{_WRITES: True})

    def __repr__(self) -> str:
        return f"<Database {self.path}>"

    def close(self) -> None:
        """Close every connection: what a thread still uses, once it is done with it."""
        self._closed = True
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run statements that only read, on one consistent state.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        with self._faults_told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run one transaction that writes: all of it, durable on return, or nothing.

        It holds off every other writer from its start, so what it reads stays true.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        with self._faults_told(), self._writing.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema up to date; make the file, with mode 0600, where there is none.

        Several processes may do so at once.

        Raises:
            DatabaseUnavailableError: it cannot be done; the text says what to do.
        """
        with self._faults_told():
            self._make_file()
            self._switch_to_wal()
        if self._revision() == HEAD:
            return
        # Only here is Alembic needed, and importing it takes longer than most commands.
        from alembic import command  # noqa: PLC0415 - the reason above
        from alembic.config import Config  # noqa: PLC0415 - the same
        from alembic.util import CommandError  # noqa: PLC0415 - the same

        config = Config()
        scripts = str(Path(__file__).with_name("migrations"))
        config.set_main_option("script_location", scripts.replace("%", "%%"))
        logging.getLogger("alembic").setLevel(logging.WARNING)  # its chatter is not for operators
        with self.write() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise DatabaseUnavailableError(
                    "schema",
                    f"database {self.path} was made by a newer Ticker: update this one, or move "
                    f"the file away to start anew",
                ) from None

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            told = unavailable(str(self.path), error)
            if told.reason != "busy":
                # Whatever the connections believe about the file may be wrong.
                self._engine.dispose()
            raise told from None

    def _connect(self) -> sqlite3.Connection:
        # `mode=rw`: never to make a file. `isolation_level=None`: transactions begin in
        # `_on_begin` and nowhere else.
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=limits.DATABASE_BUSY_SECONDS,
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

    def _on_checkin(self, _connection: object, record: Any) -> None:
        if self._closed:
            # The pool it goes back to is one that nobody closes any more.
            record.invalidate()

    @staticmethod
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def _make_file(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for suffix in ("", "-wal", "-shm"):
            path = self.path.with_name(self.path.name + suffix)
            with suppress(FileNotFoundError):
                if path.stat().st_mode & _OTHERS:
                    path.chmod(0o600)

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
                    busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                    if not busy or time.monotonic() > deadline:
                        raise
                    time.sleep(_RETRY_SECONDS)
                else:
                    return

    def _revision(self) -> str | None:
        """Tell which migration the file has; None where it has none yet."""
        try:
            with self.read() as connection:
                row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
        except DatabaseUnavailableError as error:
            if error.reason == "schema":
                return None
            raise
        return None if row is None else str(row[0])
