"""The demo key: there while there is no other, and gone for good afterwards."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ticker.security.demo import decide, ensure_demo_key, forget_demo_key
from ticker.security.key_admin import KeyAdmin
from ticker.security.keys import ParsedKey, hash_key, new_key, parse_key
from ticker.security.secrets_file import SecretFileError
from ticker.storage import keys
from ticker.storage.keys import KeyRecord
from ticker.storage.sqlite import SqliteDatabase

PEPPER = bytes(range(32))


def ensure(database: SqliteDatabase, *, enabled: bool = True) -> str | None:
    return ensure_demo_key(
        database, database.path.parent, pepper=PEPPER, enabled=enabled, now=lambda: 5.0
    )


def file_of(database: SqliteDatabase) -> Path:
    return database.path.with_name("demo-api-key")


def works(database: SqliteDatabase, text: str | None) -> bool:
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


def test_the_demo_key_is_the_same_at_each_start(database: SqliteDatabase) -> None:
    first = ensure(database)
    assert works(database, first)
    assert ensure(database) == first
    assert works(database, first)
    assert file_of(database).read_text("ascii") == f"{first}\n"
    assert stat.S_IMODE(file_of(database).stat().st_mode) == 0o600


def test_its_making_is_logged_without_the_key(database: SqliteDatabase) -> None:
    with capture_logs() as logs:
        text = ensure(database)
    assert text is not None
    assert [(entry["event"], entry["demo"]) for entry in logs] == [("api_key_created", True)]
    assert text[14:57] not in repr(logs)


def test_it_ends_with_the_first_real_key_and_never_comes_back(database: SqliteDatabase) -> None:
    text = ensure(database)
    key_admin = KeyAdmin(database, PEPPER)
    made = key_admin.create("ada", "user")
    assert not works(database, text)
    assert ensure(database) is None
    assert not file_of(database).exists()
    key_admin.revoke(made.record.id)
    assert ensure(database) is None


def test_a_real_key_that_came_another_way_ends_it_at_the_next_start(
    database: SqliteDatabase,
) -> None:
    text = ensure(database)
    with database.write() as connection:
        other = KeyAdmin(database, PEPPER, lambda: 5.0)
        other._add(connection, "ada", "user", None)
    assert works(database, text)
    assert ensure(database) is None
    assert not works(database, text)


def test_switched_off_it_does_not_work_and_its_file_is_removed(database: SqliteDatabase) -> None:
    assert ensure(database, enabled=False) is None
    text = ensure(database)
    assert ensure(database, enabled=False) is None
    assert not works(database, text)
    assert not file_of(database).exists()
    again = ensure(database)
    assert again != text
    assert works(database, again)


def test_its_end_at_a_start_is_logged_once(database: SqliteDatabase) -> None:
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


def test_a_lost_or_spoilt_file_makes_a_new_key_and_ends_the_old(database: SqliteDatabase) -> None:
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


def _foreign(path: Path) -> None:
    if os.geteuid():
        pytest.skip("gives a file to another user")
    os.chown(path, 12345, 12345)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("put", "why"), [(_foreign, "belongs to another user"), (_link, "is a symbolic link")]
)
def test_a_file_that_may_be_in_the_hands_of_others_is_refused(
    database: SqliteDatabase, put: Callable[[Path], None], why: str
) -> None:
    key = ensure(database)
    put(file_of(database))
    with pytest.raises(SecretFileError, match=why):
        ensure(database)
    assert works(database, key)


def test_a_lost_database_gets_the_same_key_back(database: SqliteDatabase) -> None:
    text = ensure(database)
    with database.write() as connection:
        connection.change("DELETE FROM api_keys")
    assert ensure(database) == text
    assert works(database, text)


def test_another_pepper_makes_another_key(database: SqliteDatabase) -> None:
    text = ensure(database)
    other = ensure_demo_key(
        database, database.path.parent, pepper=bytes(32), enabled=True, now=lambda: 5.0
    )
    assert other != text
    assert not works(database, text)


def test_where_the_file_cannot_be_written_no_key_is_made(database: SqliteDatabase) -> None:
    file_of(database).mkdir()
    with pytest.raises(SecretFileError, match="demo-api-key"):
        ensure(database)
    with database.read() as connection:
        assert keys.listed(connection) == []
    with pytest.raises(SecretFileError, match="cannot be removed"):
        forget_demo_key(database.path.parent)


def known(key: ParsedKey, *, pepper: bytes = PEPPER, revoked_at: float | None = None) -> KeyRecord:
    return KeyRecord(
        key.key_id,
        hash_key(key, pepper),
        "demo",
        "user",
        demo=True,
        created_at=1.0,
        revoked_at=revoked_at,
    )


ONE, TWO = new_key(), new_key()


@pytest.mark.parametrize(
    ("kept", "record", "live", "again", "new", "over"),
    [
        (None, None, [], False, True, []),
        (ONE, None, [], True, True, []),
        (ONE, known(ONE), [known(ONE)], True, False, []),
        (ONE, known(ONE), [known(ONE), known(TWO)], True, False, [TWO]),
        (ONE, known(ONE, revoked_at=2.0), [], False, True, []),
        (ONE, known(ONE, pepper=bytes(32)), [known(ONE)], False, True, [ONE]),
        (None, None, [known(TWO)], False, True, [TWO]),
    ],
    ids=["first", "database-lost", "as-it-was", "two", "revoked", "other-pepper", "file-lost"],
)
def test_what_becomes_of_the_demo_key_is_decided_by_values_alone(
    kept: ParsedKey | None,
    record: KeyRecord | None,
    live: list[KeyRecord],
    again: bool,  # noqa: FBT001 - the same
    new: bool,  # noqa: FBT001 - the same
    over: list[ParsedKey],
) -> None:
    decision = decide(kept, record, live, wanted=True, pepper=PEPPER)
    assert decision.key is not None
    assert (decision.key is kept) is again
    assert decision.new is new
    assert [demo.id for demo in decision.over] == [key.key_id for key in over]
    unwanted = decide(kept, record, live, wanted=False, pepper=PEPPER)
    assert (unwanted.key, unwanted.new, list(unwanted.over)) == (None, False, live)
