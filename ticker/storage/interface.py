"""What the service needs of a database, whatever kind it is.

`ticker/storage/keys.py` and `ticker/storage/tokens.py` hold the statements, in the SQL that all
kinds understand, over a transaction that a `Database` gives. `ticker/storage/sqlite.py` is one
kind, `ticker/storage/postgres.py` another. A further one is a module beside them and an entry in
`ticker/storage/urls.py`. It keeps what the statements rely on: each block is one transaction,
and writers exclude each other unless they say that they need not. Only a writer that does
exclude others revokes, so revocations are numbered in the order in which they become visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

#: What a statement's `:name` stands for.
Value = str | bytes | int | float | bool | None


class Transaction(Protocol):
    """A transaction under way.

    Statements name their values, as in `WHERE id = :id`. A row is a tuple, in which a truth value
    may be 0 or 1.
    """

    @property
    def row_lock(self) -> str:
        """The end of a query that locks its rows until the transaction ends.

        Empty where there is no other writer meanwhile anyway.
        """

    def query(self, statement: str, **values: Value) -> Sequence[Any]:
        """Run a statement that reads; return its rows."""

    def change(self, statement: str, **values: Value) -> int:
        """Run a statement that writes; return how many rows it changed."""


class Database(Protocol):
    """Keys and tokens. Methods block; threads may share one object.

    Every one raises `DatabaseUnavailableError` where something is wrong with the database.
    """

    @property
    def place(self) -> str:
        """Where it is, for people; no credentials are in it."""

    def close(self) -> None:
        """Close every connection: what a thread still uses, once it is done with it."""

    def read(self) -> AbstractContextManager[Transaction]:
        """Run statements that only read, on one consistent state."""

    def write(self, *, together: bool = False) -> AbstractContextManager[Transaction]:
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
