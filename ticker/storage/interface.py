"""What the service needs of a database, whatever kind it is.

`ticker/storage/keys.py` and `ticker/storage/tokens.py` hold the statements, in SQLAlchemy Core,
over a connection that a `Database` gives. `ticker/storage/sqlite.py` is one kind,
`ticker/storage/postgres.py` another. A further one is a module beside them and an entry in
`ticker/storage/urls.py`. It keeps what the statements rely on: each block is one transaction,
and writers exclude each other unless they say that they need not. Only a writer that does
exclude others revokes, so revocations are numbered in the order in which they become visible.
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

    def write(self, *, together: bool = False) -> AbstractContextManager[Connection]:
        """Run one transaction that writes: all of it, durable on return, or nothing.

        It holds off every other writer from its start, so what it reads stays true.

        Args:
            together: where the database can, run beside other writers, for what is done often.
                What it relies on it must lock by itself, as `keys.find_locked` does.
        """

    def migrate(self) -> bool:
        """Bring the schema up to date; make the database where there is none.

        Several processes may do so at once.

        Returns:
            Whether there was none.
        """

    def erase_deleted(self) -> bool:
        """See to it that no file holds what was deleted; False where it must be tried again."""
