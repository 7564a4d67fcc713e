"""The file of the past is seen to: whose it is, and whether it is still there and whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from tests.support.kept_history import SYMBOLS, Kept, damaged
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_file import HistoryFile
from ticker.storage.history_sqlite import HISTORY_FILE
from ticker.storage.sqlite_errors import unavailable


async def second(kept: Kept, *, price: bool = True) -> None:
    """Let a second pass in which each symbol has a price, and write."""
    kept.now += 1000
    for symbol in SYMBOLS:
        if price:
            kept.price(str(kept.now % 997 + 1), symbol)
    await kept.keeper._keep()


def leave(path: Path, other: Path) -> None:
    """Copy what lies in a directory at a moment; the index of the log is made anew from it."""
    other.mkdir(mode=0o700)
    for file in of(path, "", "-wal"):
        if file.exists():
            shutil.copy(file, other)


async def after_a_kill(kept: Kept, path: Path) -> Kept:
    """Return what is kept, as a process that was killed has left it."""
    leave(Path(kept.store.place).parent, path)
    other = Kept(path, now=kept.now)
    await other.keeper.load()
    assert other.keeper.statistics().kept
    return other


def of(path: Path, *suffixes: str) -> list[Path]:
    return [path / f"{HISTORY_FILE}{suffix}" for suffix in suffixes]


def deleted(*suffixes: str) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        for file in of(path, *suffixes):
            file.unlink()

    return act


def cut(suffix: str, length: float) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        (file,) = of(path, suffix)
        os.truncate(file, int(file.stat().st_size * length))

    return act


def replaced(suffix: str) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        (file,) = of(path, suffix)
        shutil.copy(file, path / "copy")
        (path / "copy").replace(file)

    return act


def restore(backup: Path, path: Path) -> None:
    deleted("-wal")(path)
    backup.replace(path / HISTORY_FILE)


def renamed(path: Path) -> None:
    (file,) = of(path, "")
    file.rename(path / "moved")


@pytest.mark.parametrize("held", [False, True], ids=["alone", "beside a reader"])
@pytest.mark.parametrize("tidied", [0, 1, 5])
@pytest.mark.parametrize(
    "act",
    [
        cut("", 0),
        cut("", 0.3),
        cut("", 0.9),
        cut("-wal", 0),
        cut("-wal", 0.5),
        deleted("-wal"),
        deleted("-shm"),
        deleted("-wal", "-shm"),
        deleted(""),
        deleted("", "-wal", "-shm"),
        replaced(""),
        replaced("-wal"),
        renamed,
    ],
    ids=[
        "empty",
        "shorter",
        "a little shorter",
        "an empty log",
        "a shorter log",
        "no log",
        "no index",
        "no log and no index",
        "no file",
        "nothing",
        "a copy",
        "a copy of the log",
        "another name",
    ],
)
async def test_whatever_happens_to_an_open_file_all_is_kept_again_within_two_writings(
    tmp_path: Path, act: Callable[[Path], None], tidied: int, *, held: bool
) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for number in range(6):
        await second(kept)
        if number == tidied:
            await trio.to_thread.run_sync(kept.store.tidy)
    reader = sqlite3.connect(tmp_path / HISTORY_FILE)
    with closing(reader), capture_logs() as logged:
        if held:
            reader.execute("SELECT count(*) FROM journal").fetchall()
        act(tmp_path)
        for _ in range(3):
            await second(kept)
        other = await after_a_kill(kept, tmp_path / "killed")
    assert kept.keeper.statistics().kept
    assert other.everything() == kept.everything()
    events = [each["event"] for each in logged]
    failed = kept.keeper.statistics().failed
    assert events.count("history_not_kept") == events.count("history_kept_again") == bool(failed)


@pytest.mark.parametrize("price", [False, True], ids=["no price", "a price"])
@pytest.mark.parametrize("rows", [0, 1, 2])
async def test_rows_that_an_older_state_lacks_are_missed_whatever_number_comes_next(
    tmp_path: Path, rows: int, *, price: bool
) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for _ in range(3):
        await second(kept)
    await trio.to_thread.run_sync(kept.store.tidy)
    backup = tmp_path / "backup"
    shutil.copy(kept.store.place, backup)
    for _ in range(rows):
        await second(kept)
    restore(backup, tmp_path)
    await second(kept, price=price)
    assert kept.keeper.statistics().failed == ({"lost": 1} if rows else {})
    assert kept.keeper.statistics().kept is (rows == 0)
    await second(kept, price=False)
    other = await after_a_kill(kept, tmp_path / "killed")
    assert kept.keeper.statistics().kept
    assert other.everything() == kept.everything()


async def test_an_operator_may_empty_the_log_and_shorten_the_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for _ in range(3):
        await second(kept)
        with closing(sqlite3.connect(tmp_path / HISTORY_FILE, isolation_level=None)) as operator:
            operator.execute("VACUUM")
            operator.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other = await after_a_kill(kept, tmp_path / "killed")
    assert other.everything() == kept.everything()
    assert kept.keeper.statistics().failed == {}


@pytest.mark.parametrize("table", ["blocks", "journal", "sqlite_sequence"])
@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_file_that_lacks_a_table_is_damaged(
    tmp_path: Path, table: str, version: int
) -> None:
    first = Kept(tmp_path)
    await first.keeper.load()
    await second(first)
    first.store.close()
    with closing(sqlite3.connect(tmp_path / HISTORY_FILE, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("DELETE FROM sqlite_master WHERE name = ?", (table,))
        database.execute(f"PRAGMA user_version = {version}")
        if version < 3:
            database.execute("PRAGMA application_id = 0")
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for _ in range(2):
        await second(kept)
    assert kept.keeper.statistics().failed == {"corrupted": 1}
    assert kept.keeper.statistics().kept
    assert len(damaged(tmp_path)) == 1
    assert (await after_a_kill(kept, tmp_path / "killed")).everything() == kept.everything()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE blocks",
        "DROP TABLE journal",
        "ALTER TABLE journal RENAME COLUMN bars TO rows",
        "DELETE FROM journal; DELETE FROM sqlite_sequence",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    ],
)
async def test_what_another_hand_changes_in_an_open_file_is_mended(
    tmp_path: Path, statement: str
) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for _ in range(3):
        await second(kept)
    with closing(sqlite3.connect(tmp_path / HISTORY_FILE, isolation_level=None)) as database:
        database.executescript(statement)
    for _ in range(3):
        await second(kept)
    assert sum(kept.keeper.statistics().failed.values()) == 1
    assert kept.keeper.statistics().kept
    assert (await after_a_kill(kept, tmp_path / "killed")).everything() == kept.everything()


@pytest.mark.parametrize("more", ["", "CREATE TABLE others (x)", "DROP TABLE journal"])
async def test_a_file_of_a_newer_ticker_is_left_as_it_is(tmp_path: Path, more: str) -> None:
    first = Kept(tmp_path)
    await first.keeper.load()
    await second(first)
    first.store.close()
    path = tmp_path / HISTORY_FILE
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(more)
        database.execute("PRAGMA user_version = 4")
    before = path.read_bytes()
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for _ in range(2):
        await second(kept)
    assert kept.keeper.statistics().failed == {"schema": 3}
    kept.store.close()
    assert path.read_bytes() == before
    assert not damaged(tmp_path)


def test_text_that_is_none_is_damage_whoever_reads_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "file.db")) as database:
        with pytest.raises(sqlite3.OperationalError) as fault:
            database.execute("SELECT CAST(x'ff' AS TEXT)").fetchall()
        assert unavailable("file.db", fault.value).reason == "corrupted"
        with pytest.raises(UnicodeDecodeError) as bad:
            database.execute(b"SELECT \xff".decode("latin-1").encode("latin-1").decode())
    assert unavailable("file.db", bad.value).reason == "corrupted"


def test_a_busy_file_is_not_taken_for_another_programs(tmp_path: Path) -> None:
    path = tmp_path / HISTORY_FILE
    file = HistoryFile(path)
    with file.open():
        pass
    file.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailableError) as told, file.open():
            pass
    assert told.value.reason == "busy"
