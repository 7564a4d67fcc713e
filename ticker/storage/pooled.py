"""What the kinds of database have in common: pooled connections, one transaction for each block.

Rules for this module: synchronous, for worker threads; what is raised by SQLAlchemy and its
drivers is caught here and nowhere else, and leaves as `DatabaseUnavailableError`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from ticker.storage.errors import DatabaseUnavailableError


class PooledDatabase(ABC):
    """A database reached through an engine of SQLAlchemy's.

    Args:
        engine: with a bounded pool.
        reading: options of a connection that only reads.
        writing: the same of one that writes.
    """

    #: What may be raised where something is wrong with the database.
    _faults: ClassVar[tuple[type[Exception], ...]] = (SQLAlchemyError,)

    def __init__(self, engine: Engine, *, reading: dict[str, Any], writing: dict[str, Any]) -> None:
        self._closed = False
        self._engine = engine
        # The same connections, only that their transactions begin differently.
        self._reading = engine.execution_options(**reading)
        self._writing = engine.execution_options(**writing)
        event.listen(engine, "checkin", self._on_checkin)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.place}>"

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people; no credentials are in it."""

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
        with self._faults_told(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def write(self, *, together: bool = False) -> Iterator[Connection]:
        """Run one transaction that writes: all of it, durable on return, or nothing.

        Args:
            together: where the database can, beside other writers; see `interface`.

        Raises:
            DatabaseUnavailableError: something is wrong with the database.
        """
        with self._faults_told(), self._writing.begin() as connection:
            if not together:
                self._hold_off_others(connection)
            yield connection

    @abstractmethod
    def _hold_off_others(self, connection: Connection) -> None:
        """Wait for other writers, and let them wait until the transaction ends."""

    @abstractmethod
    def _told(self, error: Exception) -> DatabaseUnavailableError:
        """Say in words what a fault means."""

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except self._faults as error:
            told = self._told(error)
            if told.reason != "busy":
                # Whatever the connections believe about the database may be wrong.
                self._engine.dispose()
            raise told from None

    def _on_checkin(self, _connection: object, record: Any) -> None:
        if self._closed:
            # The pool that it goes back to was closed already.
            record.invalidate()
