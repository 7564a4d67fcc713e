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


class MadeByNewerError(Exception):
    """The database has a revision that this Ticker does not know."""


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date within the transaction that the connection is in.

    Raises:
        MadeByNewerError: it is ahead of this Ticker.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its chatter is not for operators
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise MadeByNewerError from None
