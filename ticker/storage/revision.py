"""Which step of the schema a database has come to."""

from __future__ import annotations

from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.interface import Database


def revision(database: Database) -> str | None:
    """Tell which migration a database has; None where it has none yet.

    Raises:
        DatabaseUnavailableError: something else is wrong with it.
    """
    try:
        with database.read() as connection:
            row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    except DatabaseUnavailableError as error:
        if error.reason == "schema":
            return None
        raise
    return None if row is None else str(row[0])
