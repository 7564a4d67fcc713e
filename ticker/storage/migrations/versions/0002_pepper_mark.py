"""By what the pepper is recognised that the hashes in this database were made with."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Make the table of one row."""
    op.create_table("pepper_mark", sa.Column("mark", sa.LargeBinary(32), primary_key=True))
