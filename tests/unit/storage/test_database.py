"""The database file: how it is made, what breaks it, and that it recovers."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ticker import limits
from ticker.storage import keys
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.keys import KeyRecord
from ticker.storage.sqlite import SqliteDatabase
from ticker.storage.urls import DatabaseUrlError


def record(key_id: str, *, user: str = "ada") -> KeyRecord:
    return KeyRecord(key_id, bytes(32), user, "user", demo=False, created_at=1.0)


def add(database: SqliteDatabase, key_id: str, *, user: str = "ada") -> None:
    with database.write() as connection:
        keys.add(connection, record(key_id, user=user))


def ids(database: SqliteDatabase) -> list[str]:
    with database.read() as connection:
        return [key.id for key in keys.listed(connection)]


def fault_of_writing(database: SqliteDatabase) -> DatabaseUnavailableError:
    with pytest.raises(DatabaseUnavailableError) as error:
        add(database, "more", user="s3cret-user" * 5)
    text = str(error.value)
    assert "\n" not in text
    assert "s3cret" not in text
    assert "INSERT" not in text
    assert error.value.__cause__ is None
    return error.value


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATABASE_BUSY_SECONDS", 0.05)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data/auth.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=memory",
        "postgresql://joe:s3cret@localhost/ticker",
        "sqlite://host/x.db",
    ],
)
def test_an_address_that_is_no_file_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match="expected a database file") as error:
        SqliteDatabase(url)
    assert "s3cret" not in str(error.value)


def test_a_new_file_is_closed_to_other_users(database: SqliteDatabase) -> None:
    add(database, "one")
    files = {path.name: path for path in database.path.parent.iterdir()}
    assert set(files) == {"auth.db", "auth.db-wal", "auth.db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert stat.S_IMODE(database.path.parent.stat().st_mode) == 0o700


def test_a_file_that_is_open_to_others_is_closed_at_start(database: SqliteDatabase) -> None:
    add(database, "one")
    files = list(database.path.parent.iterdir())
    assert len(files) == 3
    for path in files:
        path.chmod(0o644)
    database.migrate()
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_every_connection_is_durable_and_keeps_references(database: SqliteDatabase) -> None:
    with database.read() as connection:
        assert connection.query("PRAGMA journal_mode") == [("wal",)]
        assert connection.query("PRAGMA synchronous") == [(2,)]
        assert connection.query("PRAGMA foreign_keys") == [(1,)]


def test_what_is_written_is_all_there_or_not_at_all(database: SqliteDatabase) -> None:
    def fail_half_way() -> None:
        with database.write() as connection:
            keys.add(connection, record("one"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert ids(database) == []


@pytest.mark.usefixtures("impatient")
def test_a_writer_keeps_other_writers_out_from_its_start(database: SqliteDatabase) -> None:
    other = SqliteDatabase(f"sqlite:///{database.path}")
    with closing(other), database.write():
        assert fault_of_writing(other).reason == "busy"
        assert ids(other) == []


@pytest.mark.usefixtures("impatient")
def test_the_wait_for_another_writer_is_bounded(database: SqliteDatabase) -> None:
    other = SqliteDatabase(f"sqlite:///{database.path}")
    with closing(other), database.write():
        begun = time.monotonic()
        fault_of_writing(other)
        assert time.monotonic() - begun < 1.0


@pytest.mark.usefixtures("impatient")
def test_a_file_locked_by_another_program_is_busy_until_it_lets_go(
    database: SqliteDatabase,
) -> None:
    add(database, "one")
    database.close()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("UPDATE api_keys SET role = 'user'")
        holder.execute("COMMIT")
        late = SqliteDatabase(f"sqlite:///{database.path}")
        with closing(late):
            assert fault_of_writing(late).reason == "busy"
            with pytest.raises(DatabaseUnavailableError, match="busy"):
                late.migrate()
    assert ids(database) == ["one"]


def test_the_first_start_waits_for_another_program_that_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as holder,
        closing(SqliteDatabase(f"sqlite:///{path}")) as opened,
    ):
        holder.execute("BEGIN IMMEDIATE")
        letting_go = threading.Timer(0.2, holder.execute, ["COMMIT"])
        letting_go.start()
        opened.migrate()
        letting_go.join()
        assert ids(opened) == []


def test_more_threads_than_connections_wait_their_turn(database: SqliteDatabase) -> None:
    workers = [
        threading.Thread(target=add, args=(database, f"key{number}")) for number in range(20)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=30)
    assert len(ids(database)) == 20


def test_a_removed_file_is_missed_and_never_made_anew(database: SqliteDatabase) -> None:
    add(database, "one")
    database.path.unlink()
    assert fault_of_writing(database).reason == "missing"
    with pytest.raises(DatabaseUnavailableError):
        ids(database)
    assert not database.path.exists()


def test_a_removed_directory_is_missed_and_found_again(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    add(database, "one")
    away = tmp_path / "away"
    database.path.parent.rename(away)
    assert fault_of_writing(database).reason == "missing"
    away.rename(database.path.parent)
    add(database, "two")
    assert sorted(ids(database)) == ["one", "two"]


def test_a_restored_backup_is_used_at_once(database: SqliteDatabase, tmp_path: Path) -> None:
    add(database, "one")
    with closing(sqlite3.connect(database.path)) as source:
        source.execute(f"VACUUM INTO '{tmp_path}/backup.db'")
    add(database, "two")
    database.path.unlink()
    for name in ("auth.db-wal", "auth.db-shm"):
        (database.path.parent / name).unlink(missing_ok=True)
    (tmp_path / "backup.db").rename(database.path)
    assert ids(database) == ["one"]
    add(database, "three")
    assert sorted(ids(database)) == ["one", "three"]


def test_a_file_overwritten_with_garbage_is_damaged_until_a_backup_is_put_back(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    add(database, "one")
    database.close()
    shutil.copy(database.path, tmp_path / "backup.db")
    database.path.write_bytes(os.urandom(100_000))
    fault = fault_of_writing(database)
    assert fault.reason == "corrupted"
    assert "restore it from a backup" in str(fault)
    shutil.copy(tmp_path / "backup.db", database.path)
    assert ids(database) == ["one"]


@pytest.mark.parametrize("content", [b"this is no database\n" * 100, b"\0" * 5000])
def test_a_file_that_is_no_database_is_one_clear_line_at_start(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "auth.db"
    path.write_bytes(content)
    with (
        closing(SqliteDatabase(f"sqlite:///{path}")) as opened,
        pytest.raises(DatabaseUnavailableError, match="move it away") as error,
    ):
        opened.migrate()
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "table", ["notes", "alembic_version", "api_keys"], ids=["its own", "of Alembic", "of our name"]
)
def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path, table: str) -> None:
    path = tmp_path / "auth.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE {table} (text)")
    content = path.read_bytes()
    with (
        closing(SqliteDatabase(f"sqlite:///{path}")) as opened,
        pytest.raises(DatabaseUnavailableError, match="another program's file: move it away"),
    ):
        opened.migrate()
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["auth.db"]


def test_damage_in_the_middle_is_told(database: SqliteDatabase) -> None:
    for number in range(200):
        add(database, f"key{number:03}")
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    size = database.path.stat().st_size
    with database.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(DatabaseUnavailableError) as error:
        ids(database)
    assert error.value.reason == "corrupted"


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "auth.db").touch()
    with closing(SqliteDatabase(f"sqlite:///{tmp_path}/auth.db")) as opened:
        opened.migrate()
        add(opened, "one")
        assert ids(opened) == ["one"]


def test_a_database_without_our_tables_says_so(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    with closing(SqliteDatabase(f"sqlite:///{path}")) as opened:
        assert fault_of_writing(opened).reason == "schema"


def test_a_directory_in_its_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "auth.db").mkdir()
    with (
        closing(SqliteDatabase(f"sqlite:///{tmp_path}/auth.db")) as opened,
        pytest.raises(DatabaseUnavailableError, match="cannot be opened"),
    ):
        opened.migrate()


def pragma(database: SqliteDatabase, statement: str) -> Callable[[], None]:
    """Put new connections under a condition that only a real disk would have.

    Returns:
        What mends the disk, but not the connections that there are.
    """
    database._pool.renew()
    connect = database._connect

    def spoilt() -> sqlite3.Connection:
        connection = connect()
        connection.execute(statement)
        return connection

    database._connect = spoilt  # type: ignore[method-assign,assignment]
    return lambda: vars(database).pop("_connect")


def test_a_full_disk_refuses_writing_and_goes_on_reading(database: SqliteDatabase) -> None:
    add(database, "one")
    pragma(database, "PRAGMA max_page_count = 1")

    def fill() -> None:
        for number in range(1000):
            add(database, f"{number}", user="x" * 60)

    with pytest.raises(DatabaseUnavailableError) as error:
        fill()
    assert error.value.reason == "full"
    assert "one" in ids(database)


def test_a_read_only_database_goes_on_reading_and_writes_as_soon_as_it_may(
    database: SqliteDatabase,
) -> None:
    add(database, "one")
    mend = pragma(database, "PRAGMA query_only = ON")
    assert ids(database) == ["one"]
    assert fault_of_writing(database).reason == "readonly"
    mend()
    # SQLite keeps believing that the file is read-only on a connection that once found it so.
    add(database, "two")
    assert sorted(ids(database)) == ["one", "two"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if (
        mount is None
        or subprocess.run([mount, *options], capture_output=True, check=False).returncode
    ):
        pytest.skip("this system lets no test mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_on_a_disk_that_is_really_full_nothing_stored_is_lost_and_room_mends_it(
    small_disk: Path,
) -> None:
    with closing(SqliteDatabase(f"sqlite:///{small_disk}/auth.db")) as opened:
        opened.migrate()
        stored: list[str] = []

        def fill() -> None:
            for number in range(5000):
                add(opened, f"{number}", user="x" * 60)
                stored.append(f"{number}")

        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(100_000))
        with pytest.raises(DatabaseUnavailableError) as error:
            fill()
        assert error.value.reason in {"full", "io"}
        assert sorted(ids(opened)) == sorted(stored)
        ballast.unlink()
        add(opened, "more")
        assert sorted(ids(opened)) == sorted([*stored, "more"])


def test_the_representation_is_only_the_path(database: SqliteDatabase) -> None:
    assert repr(database) == f"<SqliteDatabase {database.path}>"


def test_a_connection_in_use_when_the_database_is_closed_is_closed_after(
    database: SqliteDatabase,
) -> None:
    # A thread that was given up on is not waited for.
    with database.read() as connection:
        database.close()
        assert connection.query("SELECT 1") == [(1,)]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.query("SELECT 1")


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "what?mode=ro&#%20" / "auth.db"
    with closing(SqliteDatabase(path)) as opened:
        opened.migrate()
    assert path.is_file()
