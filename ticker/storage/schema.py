"""The tables as they are after the last migration.

Rules for this module: tables only. A change here needs a migration beside it, a new
`revision.HEAD`, and the same in `sqlite_schema`; `tests/unit/storage/test_migrations.py` agrees
only when all say the same.
Times are seconds since the epoch.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata: Final = MetaData()

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("hash", LargeBinary(32), nullable=False),
    Column("user", String(64), nullable=False),
    Column("role", String(64), nullable=False),
    Column("demo", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("first_used_at", Float),
    Column("last_used_at", Float),
)

tokens: Final = Table(
    "tokens",
    metadata,
    # Of the token, only a hash: who reads this cannot use it.
    Column("id", String(32), primary_key=True),
    Column("key_id", String(16), ForeignKey("api_keys.id"), nullable=False),
    Column("user_id", String(80), nullable=False),
    Column("role", String(64), nullable=False),
    Column("policies", String, nullable=False),
    Column("address", String(64), nullable=False),
    Column("issued_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("revoked_at", Float),
    Index("tokens_by_key", "key_id"),
    Index("tokens_by_expiry", "expires_at"),
)

#: Every revocation, in order, so that each process learns what it has not seen yet by asking
#: for what is above the last number it saw. Numbers are never used twice.
revocations: Final = Table(
    "revocations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("token_id", String(32)),
    Column("key_id", String(16)),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)

#: One row: by what the pepper is recognised that the hashes here were made with.
pepper_mark: Final = Table(
    "pepper_mark",
    metadata,
    Column("mark", LargeBinary(32), primary_key=True),
)
