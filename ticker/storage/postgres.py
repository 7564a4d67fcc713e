"""A database in PostgreSQL, for several machines: connections, locks, deadlines, faults.

Rules for this module: synchronous, for worker threads; what is raised by SQLAlchemy and the
driver is caught here and nowhere else, and leaves as `DatabaseUnavailableError`. It holds no
statement about keys or tokens, since those of `keys` and `tokens` serve every kind of database.

Theory of operation. A transaction here sees what others commit meanwhile. What must not, holds
off others: a writer takes an advisory lock at its start, so that two peppers are never claimed,
and revocations become visible in the order of their numbers. The one writer that runs often, the
exchange of a key for a token, runs beside the others and locks the row of its key instead.

Everything has a deadline: a server may be away, paused, or behind a link that swallows all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import psycopg
from sqlalchemy import (
    URL,
    Connection,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ticker import limits
from ticker.redaction import shown_address
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.interface import Value
from ticker.storage.revision import HEAD, revision
from ticker.storage.urls import DatabaseUrlError, postgres_url

#: The numbers of our advisory locks: the first half is the same for all, "tick" in ASCII.
_LOCKS: Final = 0x7469636B
_WRITERS: Final = 1
_MIGRATION: Final = 2
#: What a class or a code of errors means, the longest that fits:
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_MEND: Final = {
    "08": ("unreachable", "cannot be reached"),
    "25006": ("readonly", "cannot be written: this server is a replica, or read-only"),
    "28": ("denied", "refuses the user or the password"),
    "3D000": ("missing", "does not exist: make it with createdb"),
    "40": ("busy", "is busy: another process holds it"),
    "42501": ("denied", "denies this user what Ticker has to do in it"),
    "42703": ("schema", "lacks the tables of this Ticker: start the server once"),
    "42P01": ("schema", "lacks the tables of this Ticker: start the server once"),
    "3F000": ("schema", "has no schema that tables could be made in"),
    "53100": ("full", "cannot be written: the disk is full"),
    "53": ("busy", "is busy: the server has no room for another connection"),
    "55P03": ("busy", "is busy: another process holds it"),
    "57014": ("slow", "does not answer in time"),
    "57P": ("unreachable", "is starting or stopping"),
    "58": ("io", "cannot be read or written: the disk reports an error"),
    "XX001": ("corrupted", "is damaged: restore it from a backup"),
    "XX002": ("corrupted", "is damaged: restore it from a backup"),
}
#: A connection that is refused comes without a code, only with the server's words.
_REFUSALS: Final = {
    "authentication failed": "28",
    "no password supplied": "28",
    "pg_hba.conf": "28",
    'role "': "28",
    'database "': "3D000",
    "permission denied": "42501",
    "too many": "53",
    "connection slots": "53",
    "starting up": "57P",
    "shutting down": "57P",
    "recovery mode": "57P",
}


#: What may be raised where something is wrong with the database.
_FAULTS: Final = (SQLAlchemyError, psycopg.Error, OSError)
#: There are some twenty statements; reading one for its values' names costs more than to run it.
_text: Final = lru_cache(maxsize=64)(text)


class PostgresTransaction:
    """A transaction under way; see `interface.Transaction`.

    Attributes:
        connection: SQLAlchemy's.
    """

    #: Not `FOR UPDATE`: what refers to the row may be stored meanwhile.
    row_lock: Final = " FOR NO KEY UPDATE"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def query(self, statement: str, **values: Value) -> Sequence[Any]:
        """Run a statement that reads; return its rows."""
        return self.connection.execute(_text(statement), values).all()

    def change(self, statement: str, **values: Value) -> int:
        """Run a statement that writes; return how many rows it changed."""
        return self.connection.execute(_text(statement), values).rowcount


class PostgresDatabase:
    """A PostgreSQL database of keys and tokens. Methods block; threads may share one object.

    Args:
        url: as in `postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE`.

    Raises:
        DatabaseUrlError: the address is of another kind, or has a parameter that libpq lacks.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        engine = create_engine(
            self._url,
            connect_args=_deadlines(self._url),
            pool_size=limits.DATABASE_CONNECTIONS,
            max_overflow=0,
            pool_timeout=limits.DATABASE_BUSY_SECONDS,
            # A connection that was lost while it was idle is replaced at once.
            pool_pre_ping=True,
            use_native_hstore=False,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _limit_statements)
        event.listen(engine, "checkin", self._on_checkin)
        self._engine = engine
        self._closed = False
        # The same connections, only that their transactions begin differently.
        self._reading = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._writing = engine.execution_options(
            isolation_level="READ COMMITTED", postgresql_readonly=False
        )

    def __repr__(self) -> str:
        return f"<PostgresDatabase {self.place}>"

    @property
    def place(self) -> str:
        """The address, without the user and the password."""
        place = URL.create(
            "postgresql",
            host=self._url.host or None,
            port=self._url.port,
            database=self._url.database,
        )
        # Where a user's name holds a `/`, what follows it is taken for the database.
        return shown_address(str(place))

    def close(self) -> None:
        """Close every connection: what a thread still uses, once it is done with it."""
        self._closed = True
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[PostgresTransaction]:
        """Run statements that only read, on one consistent state.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        with self._faults_told(), self._reading.begin() as connection:
            yield PostgresTransaction(connection)

    @contextmanager
    def write(self, *, together: bool = False) -> Iterator[PostgresTransaction]:
        """Run one transaction that writes: all of it, durable on return, or nothing.

        Args:
            together: beside other writers; see `interface`.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        with self._faults_told(), self._writing.begin() as connection:
            if not together:
                _hold_off(connection, _WRITERS)
            yield PostgresTransaction(connection)

    def migrate(self) -> bool:
        """Bring the schema up to date; several processes and machines may do so at once.

        Returns:
            Whether there was none.

        Raises:
            DatabaseUnavailableError: it cannot be done; the text says what to do.
        """
        if revision(self) == HEAD:
            return False
        # Before the transaction, since others wait for its end.
        from ticker.storage.migrations.upgrade import upgrade  # noqa: PLC0415 - it takes long

        with self._faults_told(), self._writing.begin() as connection:
            seconds = limits.DATABASE_MIGRATION_SECONDS
            for name in ("lock_timeout", "statement_timeout"):
                connection.execute(text(f"SET LOCAL {name} = '{seconds}s'"))
            _hold_off(connection, _MIGRATION)
            # The one that had the lock before may have done it all.
            made = not inspect(connection).has_table("alembic_version")
            upgrade(connection, self.place)
        return made

    def erase_deleted(self) -> bool:
        """Leave it to the server, whose autovacuum reclaims the room of deleted rows."""
        return True

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except _FAULTS as error:
            told = unavailable(self.place, error)
            if told.reason != "busy":
                # Whatever the connections believe about the database may be wrong.
                self._engine.dispose()
            raise told from None

    def _on_checkin(self, _connection: object, record: Any) -> None:
        if self._closed:
            # The pool that it goes back to was closed already.
            record.invalidate()


def _parsed(url: str) -> URL:
    """Read an address, and have libpq look at its parameters."""
    address = postgres_url(url)
    try:
        parsed = make_url(address)
        _, arguments = parsed.get_dialect()().create_connect_args(parsed)
        psycopg.conninfo.make_conninfo(**arguments)
    except (SQLAlchemyError, psycopg.Error, ValueError):
        raise DatabaseUrlError(
            "expected hosts, ports and parameters as libpq knows them, as in "
            "postgresql+psycopg://user:password@host:5432/database?sslmode=verify-full"
        ) from None
    return parsed


def _deadlines(url: URL) -> dict[str, Any]:
    """Return arguments of a connection that end every wait; what the address says wins."""
    silent = limits.DATABASE_SILENT_SECONDS
    ours = {
        "connect_timeout": limits.DATABASE_CONNECT_SECONDS,
        "tcp_user_timeout": silent * 1000,
        # While nothing is sent only these find out that the server is gone.
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": silent,
        "application_name": "ticker",
    }
    chosen = {name: value for name, value in ours.items() if name not in url.query}
    # A statement prepared by one client is unknown to the next where a pooler stands between.
    return {**chosen, "prepare_threshold": None}


def _limit_statements(connection: psycopg.Connection[Any], _record: object) -> None:
    """Put deadlines on what the server does for a connection."""
    connection.autocommit = True
    for name, seconds in (
        ("lock_timeout", limits.DATABASE_BUSY_SECONDS),
        ("statement_timeout", limits.DATABASE_STATEMENT_SECONDS),
        ("idle_in_transaction_session_timeout", limits.DATABASE_IDLE_SECONDS),
    ):
        connection.execute(f"SET {name} = {int(seconds * 1000)}")
    connection.autocommit = False


def _hold_off(connection: Connection, lock: int) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(_LOCKS, lock)))


def unavailable(place: str, error: Exception) -> DatabaseUnavailableError:
    """Say in words what an error of SQLAlchemy, psycopg or the system means.

    Args:
        place: the database, without credentials.
        error: what was raised; its text is not repeated, since it may name the user.
    """
    if isinstance(error, PoolTimeoutError):
        return DatabaseUnavailableError("busy", f"database {place} is busy: too many calls at once")
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlstate", None) or _code_of_refusal(str(cause))
    if not code and isinstance(cause, (psycopg.OperationalError, OSError)):
        code = "08"
    known = (_MEND[code[:length]] for length in (5, 3, 2) if code[:length] in _MEND)
    reason, mend = next(known, ("failed", f"failed: {type(cause).__name__}"))
    return DatabaseUnavailableError(reason, f"database {place} {mend}")


def _code_of_refusal(words: str) -> str:
    return next((code for known, code in _REFUSALS.items() if known in words), "")
