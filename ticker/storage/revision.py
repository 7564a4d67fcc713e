"""Which step of the schema a database has come to."""

from __future__ import annotations

from typing import Final

from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.interface import Database

#: The revision that the last migration leads to.
HEAD: Final = "0002"


def revision(database: Database) -> str | None:
    """Tell which migration a database has; None where it has none yet.

    Raises:
        DatabaseUnavailableError: something else is wrong with it.
    """
    try:
        with database.read() as transaction:
            rows = transaction.query("SELECT version_num FROM alembic_version")
    except DatabaseUnavailableError as error:
        if error.reason == "schema":
            return None
        raise
    return str(rows[0][0]) if rows else None
