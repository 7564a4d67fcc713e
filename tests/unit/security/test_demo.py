"""The demo key: there while there is no other, and gone for good afterwards."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ticker.security.demo import ensure_demo_key, forget_demo_key
from ticker.security.key_admin import KeyAdmin
from ticker.security.keys import hash_key, parse_key
from ticker.security.secrets_file import SecretFileError
from ticker.storage import keys
from ticker.storage.database import Database

PEPPER = bytes(range(32))


def ensure(database: Database, *, enabled: bool = True) -> str | None:
    return ensure_demo_key(
        database, database.path.parent, pepper=PEPPER, enabled=enabled, now=lambda: 5.0
    )


def file_of(database: Database) -> Path:
    return database.path.with_name("demo-api-key")


def works(database: Database, text: str | None) -> bool:
    assert text is not None
    parsed = parse_key(text)
    with database.read() as connection:
        record = keys.find(connection, parsed.key_id)
    return (
        record is not None
        and record.hash == hash_key(parsed, PEPPER)
        and record.state(5.0) == "live"
        and (record.user, record.role, record.demo) == ("demo", "user", True)
    )


def test_the_demo_key_is_the_same_at_each_start(database: Database) -> None:
    first = ensure(database)
    assert works(database, first)
    assert ensure(database) == first
    assert works(database, first)
    assert file_of(database).read_text("ascii") == f"{first}\n"
    assert stat.S_IMODE(file_of(database).stat().st_mode) == 0o600


def test_its_making_is_logged_without_the_key(database: Database) -> None:
    with capture_logs() as logs:
        text = ensure(database)
    assert text is not None
    assert [(entry["event"], entry["demo"]) for entry in logs] == [("api_key_created", True)]
    assert text[14:57] not in repr(logs)


def test_it_ends_with_the_first_real_key_and_never_comes_back(database: Database) -> None:
    text = ensure(database)
    key_admin = KeyAdmin(database, PEPPER)
    made = key_admin.create("ada", "user")
    assert not works(database, text)
    assert ensure(database) is None
    assert not file_of(database).exists()
    key_admin.revoke(made.record.id)
    assert ensure(database) is None


def test_a_real_key_that_came_another_way_ends_it_at_the_next_start(database: Database) -> None:
    text = ensure(database)
    with database.write() as connection:
        other = KeyAdmin(database, PEPPER, lambda: 5.0)
        other._add(connection, "ada", "user", None)
    assert works(database, text)
    assert ensure(database) is None
    assert not works(database, text)


def test_switched_off_it_does_not_work_and_its_file_is_removed(database: Database) -> None:
    assert ensure(database, enabled=False) is None
    text = ensure(database)
    assert ensure(database, enabled=False) is None
    assert not works(database, text)
    assert not file_of(database).exists()
    again = ensure(database)
    assert again != text
    assert works(database, again)


def test_its_end_at_a_start_is_logged_once(database: Database) -> None:
    text = ensure(database)
    assert text is not None
    with capture_logs() as logs:
        ensure(database, enabled=False)
        ensure(database, enabled=False)
    assert logs == [
        {
            "event": "api_key_revoked",
            "log_level": "info",
            "key_id": parse_key(text).key_id,
            "user": "demo",
            "reason": "demo_over",
        }
    ]


def test_a_lost_or_spoilt_file_makes_a_new_key_and_ends_the_old(database: Database) -> None:
    seen = [ensure(database)]
    spoil: list[Callable[[], object]] = [
        lambda: file_of(database).unlink(),
        lambda: file_of(database).write_bytes(b"\xff\0garbage"),
        lambda: file_of(database).write_text(""),
        lambda: file_of(database).chmod(0o644),
    ]
    for change in spoil:
        change()
        seen.append(ensure(database))
        assert works(database, seen[-1])
        assert stat.S_IMODE(file_of(database).stat().st_mode) == 0o600
    assert len(set(seen)) == len(seen)
    assert not any(works(database, text) for text in seen[:-1])


def test_a_lost_database_gets_the_same_key_back(database: Database) -> None:
    text = ensure(database)
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM api_keys")
    assert ensure(database) == text
    assert works(database, text)


def test_another_pepper_makes_another_key(database: Database) -> None:
    text = ensure(database)
    other = ensure_demo_key(
        database, database.path.parent, pepper=bytes(32), enabled=True, now=lambda: 5.0
    )
    assert other != text
    assert not works(database, text)


def test_where_the_file_cannot_be_written_no_key_is_made(database: Database) -> None:
    file_of(database).mkdir()
    with pytest.raises(SecretFileError, match="demo-api-key"):
        ensure(database)
    with database.read() as connection:
        assert keys.listed(connection) == []
    with pytest.raises(SecretFileError, match="cannot be removed"):
        forget_demo_key(database.path.parent)
