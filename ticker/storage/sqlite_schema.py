"""The tables of a new SQLite file, in its own words.

Rules for this module: they are what the migrations lead to (`tests/unit/storage/test_migrations.py`
compares the two). Times are seconds since the epoch; `schema` says what the columns mean.
"""

from __future__ import annotations

from typing import Final

from ticker.storage.revision import HEAD

TABLES: Final = (
    """CREATE TABLE alembic_version (
        version_num VARCHAR(32) NOT NULL,
        CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
    )""",
    """CREATE TABLE api_keys (
        id VARCHAR(16) NOT NULL,
        hash BLOB NOT NULL,
        user VARCHAR(64) NOT NULL,
        role VARCHAR(64) NOT NULL,
        demo BOOLEAN NOT NULL,
        created_at FLOAT NOT NULL,
        expires_at FLOAT,
        revoked_at FLOAT,
        first_used_at FLOAT,
        last_used_at FLOAT,
        PRIMARY KEY (id)
    )""",
    """CREATE TABLE tokens (
        id VARCHAR(32) NOT NULL,
        key_id VARCHAR(16) NOT NULL,
        user_id VARCHAR(80) NOT NULL,
        role VARCHAR(64) NOT NULL,
        policies VARCHAR NOT NULL,
        address VARCHAR(64) NOT NULL,
        issued_at FLOAT NOT NULL,
        expires_at FLOAT NOT NULL,
        revoked_at FLOAT,
        PRIMARY KEY (id),
        FOREIGN KEY(key_id) REFERENCES api_keys (id)
    )""",
    "CREATE INDEX tokens_by_key ON tokens (key_id)",
    "CREATE INDEX tokens_by_expiry ON tokens (expires_at)",
    """CREATE TABLE revocations (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        token_id VARCHAR(32),
        key_id VARCHAR(16),
        at FLOAT NOT NULL
    )""",
    "CREATE TABLE pepper_mark (mark BLOB NOT NULL, PRIMARY KEY (mark))",
    f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')",  # noqa: S608 - a constant
)
