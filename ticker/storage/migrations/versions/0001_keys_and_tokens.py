"""API keys, tokens, and the list of what was revoked."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("demo", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
        sa.Column("first_used_at", sa.Float),
        sa.Column("last_used_at", sa.Float),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key_id", sa.String(16), sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("policies", sa.String, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("issued_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("revoked_at", sa.Float),
    )
    op.create_index("tokens_by_key", "tokens", ["key_id"])
    op.create_index("tokens_by_expiry", "tokens", ["expires_at"])
    op.create_table(
        "revocations",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("token_id", sa.String(32)),
        sa.Column("key_id", sa.String(16)),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
