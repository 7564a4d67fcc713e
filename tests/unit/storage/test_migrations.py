"""Migrations: from nothing to the schema of today, by several processes at once."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import ticker.storage
from ticker.storage import keys, schema
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.migrations.upgrade import upgrade_file
from ticker.storage.revision import HEAD, revision
from ticker.storage.sqlite import SqliteDatabase

KEY = keys.KeyRecord("key", b"h" * 32, "ada", "user", demo=False, created_at=1.0)


def test_the_last_migration_leads_to_the_schema_of_today(database: SqliteDatabase) -> None:
    # A pool would keep its connection beyond the test.
    engine = create_engine(f"sqlite:///{database.path}", poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == HEAD


def test_the_schema_names_the_newest_migration() -> None:
    scripts = Path(ticker.storage.__file__).with_name("migrations")
    assert ScriptDirectory(str(scripts)).get_current_head() == HEAD


def shape(path: Path) -> list[tuple[str, str, str]]:
    """Return what a file has: tables and indices, by which statements but for spaces, and rows."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name")
        made = [(kind, name, "".join((sql or "").split())) for kind, name, sql in rows]
        return [*made, *connection.execute("SELECT 'is', 'at', * FROM alembic_version")]


def migrated(path: Path, revision: str) -> None:
    """Have Alembic alone bring a file to a revision, as an earlier Ticker left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        upgrade_file(raw, str(path), revision)


def test_a_new_file_is_what_all_migrations_make_of_an_empty_one(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    migrated(tmp_path / "step by step.db", "head")
    assert shape(database.path) == shape(tmp_path / "step by step.db")


def test_a_file_of_an_earlier_ticker_is_migrated_and_keeps_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    migrated(path, "0001")
    with closing(SqliteDatabase(path)) as opened:
        with opened.write() as transaction:
            keys.add(transaction, KEY)
        assert opened.migrate() is False
        assert revision(opened) == HEAD
        with opened.read() as transaction:
            assert keys.listed(transaction) == [KEY]


def test_a_new_file_is_made_without_loading_what_migrates(tmp_path: Path) -> None:
    program = (
        "import sys; from ticker.storage.sqlite import SqliteDatabase;"
        "SqliteDatabase(f'sqlite:///{sys.argv[1]}').migrate();"
        "print([name for name in sys.modules if name.startswith(('alembic', 'sqlalchemy'))])"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "auth.db")]
    assert subprocess.run(run, capture_output=True, check=True).stdout == b"[]\n"


def test_migrating_again_changes_nothing(database: SqliteDatabase) -> None:
    before = database.path.stat().st_mtime_ns
    database.migrate()
    assert database.path.stat().st_mtime_ns == before


def test_migrating_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handlers, level = list(logging.root.handlers), logging.root.level
    with closing(SqliteDatabase(f"sqlite:///{tmp_path}/100% new/auth.db")) as opened:
        opened.migrate()
    assert capfd.readouterr() == ("", "")
    assert (list(logging.root.handlers), logging.root.level) == (handlers, level)


def test_a_database_of_a_newer_ticker_is_refused_in_one_line(database: SqliteDatabase) -> None:
    with database.write() as connection:
        connection.change("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnavailableError, match="newer Ticker") as error:
        database.migrate()
    assert "\n" not in str(error.value)


def test_an_interrupted_migration_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    with closing(SqliteDatabase(f"sqlite:///{tmp_path}/auth.db")) as opened:
        with monkeypatch.context() as patch:
            patch.setattr("alembic.op.create_index", interrupted)
            with pytest.raises(KeyboardInterrupt):
                migrated(opened.path, "head")
        with opened.read() as connection:
            tables = connection.query("SELECT name FROM sqlite_master")
        assert tables == []
        opened.migrate()


def test_processes_that_start_at_once_all_find_the_schema(tmp_path: Path) -> None:
    program = (
        "import sys; from ticker.storage.sqlite import SqliteDatabase;"
        "sys.stdin.readline(); SqliteDatabase(f'sqlite:///{sys.argv[1]}').migrate()"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data" / "auth.db")],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    errors = [starter.communicate(timeout=60)[1] for starter in starters]
    assert errors == [""] * 5
    assert [starter.returncode for starter in starters] == [0] * 5
