"""What the service needs of a database, whatever kind it is.

`ticker/storage/keys.py` and `ticker/storage/tokens.py` hold the statements, in SQLAlchemy Core,
over a connection that a `Database` gives. `ticker/storage/sqlite.py` is the first kind. Another
one is a module beside it and an entry in `ticker/storage/urls.py`. It keeps what the statements
rely on: each block is one transaction, writers exclude each other, and so revocations are
numbered in the order in which they become visible.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection


class Database(Protocol):
    """Keys and tokens. Methods block; threads may share one object.

    Every one raises `DatabaseUnavailableError` where something is wrong with the database.
    """

    @property
    def place(self) -> str:
        """Where it is, for people; no credentials are in it."""

    def close(self) -> None:
        """Close every connection: what a thread still uses, once it is done with it."""

    def read(self) -> AbstractContextManager[Connection]:
        """Run statements that only read, on one consistent state."""

    def write(self) -> AbstractContextManager[Connection]:
        """Run one transaction that writes: all of it, durable on return, or nothing.

        It holds off every other writer from its start, so what it reads stays true.
        """

    def migrate(self) -> bool:
        """Bring the schema up to date; make the database where there is none.

        Several processes may do so at once.

        Returns:
            Whether there was none.
        """

    def erase_deleted(self) -> bool:
        """See to it that no file holds what was deleted; False where it must be tried again."""
