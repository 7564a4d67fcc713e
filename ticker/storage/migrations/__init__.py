"""The steps of the schema, run by Alembic: one module for each in `versions`."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection


class MadeByNewerError(Exception):
    """The database has a revision that this Ticker does not know."""


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date within the transaction that the connection is in.

    Raises:
        MadeByNewerError: it is ahead of this Ticker.
    """
    # Only here is Alembic needed, and importing it takes longer than most commands.
    from alembic import command  # noqa: PLC0415 - the reason above
    from alembic.config import Config  # noqa: PLC0415 - the same
    from alembic.util import CommandError  # noqa: PLC0415 - the same

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its chatter is not for operators
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise MadeByNewerError from None
