"""Brings the schema up to date.

Imported only where there is something to do: Alembic takes longer to import than most commands
take to run.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from ticker.storage.errors import DatabaseUnavailableError


def upgrade(connection: Connection, place: str, to: str = "head") -> None:
    """Bring the schema up to date within the transaction that the connection is in.

    Args:
        connection: of that transaction.
        place: of the database, for people.
        to: which revision.

    Raises:
        DatabaseUnavailableError: the database has a revision that this Ticker does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its chatter is not for operators
    try:
        command.upgrade(config, to)
    except CommandError:
        raise DatabaseUnavailableError(
            "schema",
            f"database {place} was made by a newer Ticker: update this one, or move the database "
            f"away to start anew",
        ) from None


def upgrade_file(raw: sqlite3.Connection, place: str, to: str = "head") -> None:
    """Bring the schema of a SQLite file up to date, in one transaction.

    Args:
        raw: a connection that begins no transaction by itself.
        place: of the database, for people.
        to: which revision.

    Raises:
        DatabaseUnavailableError: the database has a revision that this Ticker does not know.
        sqlite3.Error: something else is wrong with it.
    """
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            upgrade(connection, place, to)
    except DBAPIError as error:
        raise (error.orig or error) from None
