"""Files and directories that other users must keep out of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.files import UnsafeFileError, make_directory, open_private
from ticker.storage.sqlite import SqliteDatabase

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_is_closed_to_others(tmp_path: Path) -> None:
    with capture_logs() as logs:
        make_directory(tmp_path / "a" / "data")
    assert mode(tmp_path / "a" / "data") == 0o700
    assert logs == []


@pytest.mark.parametrize("others", [0o720, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, others: int) -> None:
    tmp_path.chmod(others)
    with pytest.raises(UnsafeFileError, match=r"other users may write to .* chmod 700"):
        make_directory(tmp_path)
    assert mode(tmp_path) == others


@pytest.mark.parametrize("others", [0o740, 0o705, 0o755])
def test_a_directory_that_others_may_only_read_is_warned_about(tmp_path: Path, others: int) -> None:
    tmp_path.chmod(others)
    with capture_logs() as logs:
        make_directory(tmp_path)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("data_directory_readable", "warning")
    ]


@needs_root
def test_a_directory_or_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o666)
    os.chown(path, 12345, 12345)
    before = path.stat()
    with pytest.raises(UnsafeFileError, match=r"belongs to another user \(uid 12345\)"):
        open_private(path, os.O_RDWR)
    assert path.stat() == before
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(UnsafeFileError, match="belongs to another user"):
        make_directory(tmp_path)


def test_a_link_is_not_followed_and_nothing_about_its_target_is_changed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious")
    target.chmod(0o644)
    link.symlink_to(target)
    with pytest.raises(UnsafeFileError, match="is a symbolic link"):
        open_private(link, os.O_RDWR)
    assert (target.read_text(), mode(target)) == ("precious", 0o644)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafeFileError, match="no plain file"):
        open_private(tmp_path / "pipe", os.O_RDWR)


@pytest.mark.parametrize("name", ["auth.db", "auth.db-wal", "auth.db-shm", "auth.db-journal"])
def test_a_link_in_the_place_of_the_database_or_what_is_beside_it_is_refused(
    tmp_path: Path, name: str
) -> None:
    target = tmp_path / "target"
    target.touch(0o644)
    (tmp_path / name).symlink_to(target)
    database = SqliteDatabase(tmp_path / "auth.db")
    with pytest.raises(DatabaseUnavailableError, match=f"{name} is a symbolic link") as error:
        database.migrate()
    assert error.value.reason == "unsafe"
    assert (target.read_bytes(), mode(target)) == (b"", 0o644)
