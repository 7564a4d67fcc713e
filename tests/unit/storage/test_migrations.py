"""Migrations: from nothing to the schema of today, by several processes at once."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import ticker.storage
from ticker.storage import schema
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.sqlite import SqliteDatabase


def test_the_last_migration_leads_to_the_schema_of_today(database: SqliteDatabase) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.HEAD


def test_the_schema_names_the_newest_migration() -> None:
    scripts = Path(ticker.storage.__file__).with_name("migrations")
    assert ScriptDirectory(str(scripts)).get_current_head() == schema.HEAD


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
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
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
                opened.migrate()
        with opened.read() as connection:
            tables = connection.exec_driver_sql("SELECT name FROM sqlite_master").all()
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
