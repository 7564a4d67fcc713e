"""A database in a SQLite file: transactions, durability, faults.

Rules for this module: synchronous, for worker threads; the one place where SQLite's errors are
caught, and every one leaves as `DatabaseUnavailableError`. It uses the driver by itself: SQLAlchemy
alone takes a third of a second to load, which is a third of a start, and nine tenths of the look
for revocations.

Several processes use the file at once: the server, and `ticker keys` beside it. What is
committed survives a kill at any moment and, since every commit is synced, a power cut.

The file may go away and come back under a running server. A connection notices that it
belongs to another file than the one of that name now, and is replaced (`sqlite_pool`); only
`migrate` ever makes a file, so that no call finds an empty database where a full one was.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ticker import limits
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.files import open_private
from ticker.storage.interface import Value
from ticker.storage.revision import HEAD, revision
from ticker.storage.sqlite_errors import FAULTS, is_busy, unavailable
from ticker.storage.sqlite_pool import SqlitePool
from ticker.storage.sqlite_schema import TABLES
from ticker.storage.urls import sqlite_path

_RETRY_SECONDS: Final = 0.01
#: Tables that every version of Ticker has made.
_OURS: Final = frozenset({"alembic_version", "api_keys", "tokens"})
#: What SQLite keeps beside the file: the log of what was written last, and its index.
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


class SqliteTransaction:
    """A transaction under way; see `interface.Transaction`."""

    __slots__ = ("_connection",)

    #: Writers exclude each other.
    row_lock: Final = ""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def query(self, statement: str, **values: Value) -> Sequence[Any]:
        """Run a statement that reads; return its rows."""
        return self._connection.execute(statement, values).fetchall()

    def change(self, statement: str, **values: Value) -> int:
        """Run a statement that writes; return how many rows it changed."""
        return self._connection.execute(statement, values).rowcount


class SqliteDatabase:
    """A SQLite file of keys and tokens. Methods block; threads may share one object.

    Args:
        where: the file, or its address: `sqlite:///` and a path.

    Raises:
        DatabaseUrlError: the address is of another kind.
    """

    def __init__(self, where: str | Path) -> None:
        self.path = where.absolute() if isinstance(where, Path) else sqlite_path(where)
        self._pool = SqlitePool(
            self.path,
            lambda: self._connect(),  # noqa: PLW0108 - a test puts another in its place
            size=limits.DATABASE_CONNECTIONS,
            patience=limits.DATABASE_BUSY_SECONDS,
        )

    def __repr__(self) -> str:
        return f"<SqliteDatabase {self.place}>"

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def close(self) -> None:
        """Close every connection: what a thread still uses, once it is done with it."""
        self._pool.close()

    @contextmanager
    def read(self) -> Iterator[SqliteTransaction]:
        """Run statements that only read, on one consistent state.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        with self._transaction("BEGIN") as transaction:
            yield transaction

    @contextmanager
    def write(self, *, together: bool = False) -> Iterator[SqliteTransaction]:
        """Run one transaction that writes: all of it, durable on return, or nothing.

        Args:
            together: makes no difference: a file has one writer at a time.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        del together
        with self._transaction("BEGIN IMMEDIATE") as transaction:
            yield transaction

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
            self._see_whose()
            self._switch_to_wal()
        if revision(self) == HEAD or self._make_tables() or revision(self) == HEAD:
            return made
        from ticker.storage.migrations.upgrade import upgrade_file  # noqa: PLC0415 - it takes long

        with self._faults_told(), closing(self._connect()) as connection:
            upgrade_file(connection, self.place)
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
                if not is_busy(error):
                    raise
                return False
        return not busy

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[SqliteTransaction]:
        with self._faults_told(), self._pool.lent() as connection:
            connection.execute(begin)
            try:
                yield SqliteTransaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # one that cannot be rolled back is closed
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as error:
            told = unavailable(self.place, error)
            if told.reason != "busy":
                # Whatever the connections believe about the database may be wrong.
                self._pool.renew()
            raise told from None

    def _connect(self, busy_timeout: float | None = None) -> sqlite3.Connection:
        # `mode=rw`: never to make a file. `isolation_level=None`: transactions begin in
        # `_transaction` and nowhere else.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=limits.DATABASE_BUSY_SECONDS if busy_timeout is None else busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_tables(self) -> bool:
        """Make the tables in a database that has none; False where it has some.

        That is what all migrations come to (`tests/unit/storage/test_migrations.py`): Alembic is
        loaded only where there is something to migrate.
        """
        with self.write() as transaction:
            if transaction.query("SELECT 1 FROM sqlite_master LIMIT 1"):
                return False
            for statement in TABLES:
                transaction.change(statement)
        return True

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

    def _see_whose(self) -> None:
        """Refuse a file that another program made, before any of it is changed.

        Raises:
            DatabaseUnavailableError: `foreign`.
        """
        with closing(self._connect()) as connection:
            named = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
            found = {name for (name,) in connection.execute(named)}
        if found and not found >= _OURS:
            raise DatabaseUnavailableError(
                "foreign", f"database {self.place} is another program's file: move it away"
            )

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
                    if not is_busy(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(_RETRY_SECONDS)
                else:
                    return
