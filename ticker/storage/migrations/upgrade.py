"""Brings the schema up to date.

Imported only where there is something to do: Alembic takes longer to import than most commands
take to run.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from ticker.storage.errors import DatabaseUnavailableError


def upgrade(connection: Connection, place: str) -> None:
    """Bring the schema up to date within the transaction that the connection is in.

    Args:
        connection: of that transaction.
        place: of the database, for people.

    Raises:
        DatabaseUnavailableError: the database has a revision that this Ticker does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its chatter is not for operators
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise DatabaseUnavailableError(
            "schema",
            f"database {place} was made by a newer Ticker: update this one, or move the database "
            f"away to start anew",
        ) from None
