"""Keys and tokens as their operator manages them."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from ticker.security.key_admin import KeyAdmin, KeyAdminError, NewKey, record_of
from ticker.security.keys import hash_key, new_key, parse_key
from ticker.storage import keys, tokens
from ticker.storage.interface import Database
from ticker.storage.sqlite import SqliteDatabase
from ticker.storage.tokens import Revocation, TokenRecord

PEPPER = bytes(range(32))
HOUR = 3600.0
DAY = 24 * HOUR


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(any_database: Database) -> Database:
    return any_database


@pytest.fixture
def key_admin(database: Database, clock: Clock) -> KeyAdmin:
    return KeyAdmin(database, PEPPER, clock)


def revocations(database: Database) -> list[Revocation]:
    with database.read() as connection:
        return tokens.revocations_after(connection, 0)


def give_token(database: Database, made: NewKey, name: str, expires_at: float) -> None:
    with database.write() as connection:
        tokens.add(
            connection,
            TokenRecord(name, made.record.id, "user:ada", "user", "", "::1", 0.0, expires_at),
        )


def test_a_new_key_is_stored_as_a_hash_only(key_admin: KeyAdmin, database: Database) -> None:
    made = key_admin.create("ada", "user", 90 * DAY)
    assert key_admin.all_keys() == [made.record]
    assert made.record.hash == hash_key(parse_key(made.text), PEPPER)
    assert made.record.expires_at == 1_000_000.0 + 90 * DAY
    if not isinstance(database, SqliteDatabase):
        return
    database.close()
    stored = b"".join(path.read_bytes() for path in database.path.parent.iterdir())
    assert made.text.encode() not in stored
    assert made.text[14:57].encode() not in stored
    assert made.record.id.encode() in stored


@pytest.mark.parametrize("user", ["", " ", "-x", "a b", "é", "x" * 65, "a\n", "user:ada", "../x"])
def test_a_strange_user_is_refused(key_admin: KeyAdmin, user: str) -> None:
    with pytest.raises(KeyAdminError, match="a user is named by"):
        key_admin.create(user, "user")
    assert key_admin.all_keys() == []


def test_a_lifetime_beyond_reason_is_refused(key_admin: KeyAdmin) -> None:
    with pytest.raises(KeyAdminError, match="100 years"):
        key_admin.create("ada", "user", 1e12)
    made = key_admin.create("ada", "user")
    with pytest.raises(KeyAdminError, match="100 years"):
        key_admin.rotate(made.record.id, float("inf"))


def test_keys_are_listed_oldest_first(key_admin: KeyAdmin, clock: Clock) -> None:
    made = []
    for user in ("ada", "bob", "cyd"):
        made.append(key_admin.create(user, "user").record)
        clock.time += 1
    assert key_admin.all_keys() == made


def test_a_revoked_key_stays_revoked_and_is_told_once(
    key_admin: KeyAdmin, database: Database, clock: Clock
) -> None:
    key_id = key_admin.create("ada", "user").record.id
    assert key_admin.revoke(key_id).revoked_at is None
    clock.time += 5
    assert key_admin.revoke(key_id).revoked_at == 1_000_000.0
    assert revocations(database) == [Revocation(1, None, key_id)]


def test_a_rotated_key_has_the_same_user_role_and_lifetime(
    key_admin: KeyAdmin, clock: Clock
) -> None:
    old = key_admin.create("ada", "guest", 30 * DAY).record
    clock.time += 10 * DAY
    new = key_admin.rotate(old.id, DAY).record
    assert (new.user, new.role) == ("ada", "guest")
    assert new.expires_at == clock.time + 30 * DAY
    kept = key_admin.all_keys()[0]
    assert kept.state(clock.time + DAY - 1) == "live"
    assert kept.state(clock.time + DAY) == "expired"


def test_a_rotation_never_lets_the_old_key_live_longer(key_admin: KeyAdmin, clock: Clock) -> None:
    old = key_admin.create("ada", "user", DAY).record
    clock.time += DAY - 60
    key_admin.rotate(old.id, DAY)
    assert key_admin.all_keys()[0].expires_at == old.expires_at


def test_a_rotation_without_overlap_revokes_the_old_key(
    key_admin: KeyAdmin, database: Database, clock: Clock
) -> None:
    old = key_admin.create("ada", "user").record
    new = key_admin.rotate(old.id, 0.0).record
    assert new.expires_at is None
    assert [key.state(clock.time) for key in key_admin.all_keys() if key.id == old.id] == [
        "revoked"
    ]
    assert revocations(database) == [Revocation(1, None, old.id)]


def test_a_key_that_is_over_is_not_rotated(key_admin: KeyAdmin, clock: Clock) -> None:
    revoked = key_admin.create("ada", "user").record.id
    key_admin.revoke(revoked)
    with pytest.raises(KeyAdminError, match="is revoked"):
        key_admin.rotate(revoked, DAY)
    expired = key_admin.create("ada", "user", HOUR).record.id
    clock.time += HOUR
    with pytest.raises(KeyAdminError, match="is expired"):
        key_admin.rotate(expired, DAY)
    assert len(key_admin.all_keys()) == 2


def test_the_demo_key_is_not_rotated_and_ends_with_the_first_real_key(
    key_admin: KeyAdmin, database: Database, clock: Clock
) -> None:
    demo = record_of(new_key(), PEPPER, "demo", "user", 1.0, demo=True)
    with database.write() as connection:
        keys.add(connection, demo)
    with pytest.raises(KeyAdminError, match="is the demo key"):
        key_admin.rotate(demo.id, DAY)
    with capture_logs() as logs:
        key_admin.create("ada", "user")
    assert key_admin.all_keys()[0].state(clock.time) == "revoked"
    assert revocations(database) == [Revocation(1, None, demo.id)]
    assert [(entry["event"], entry.get("reason")) for entry in logs] == [
        ("api_key_created", None),
        ("api_key_revoked", "demo_over"),
    ]


@pytest.mark.parametrize("name", ["", "nothing", "tk_x", "'; DROP TABLE api_keys; --", "😀"])
def test_an_unknown_id_is_one_clear_line(key_admin: KeyAdmin, name: str) -> None:
    for change in (key_admin.revoke, lambda key_id: key_admin.rotate(key_id, DAY)):
        with pytest.raises(KeyAdminError, match="there is no key with that id"):
            change(name)
    with pytest.raises(KeyAdminError, match="there is no token with that id"):
        key_admin.revoke_token(name)


def test_tokens_are_listed_while_they_open_something(
    key_admin: KeyAdmin, database: Database, clock: Clock
) -> None:
    made = key_admin.create("ada", "user")
    for name, lifetime in [("a", 10.0), ("b", 20.0), ("c", 20.0)]:
        give_token(database, made, name, clock.time + lifetime)
    assert sorted(token.id for token in key_admin.live_tokens()) == ["a", "b", "c"]
    key_admin.revoke_token("b")
    key_admin.revoke_token("b")
    clock.time += 10
    assert [token.id for token in key_admin.live_tokens()] == ["c"]
    assert revocations(database) == [Revocation(1, "b", None)]
    key_admin.revoke(made.record.id)
    assert key_admin.live_tokens() == []


def test_every_change_is_logged_once_without_a_secret(
    key_admin: KeyAdmin, database: Database
) -> None:
    with capture_logs() as logs:
        made = key_admin.create("ada", "user", 9 * DAY)
        new = key_admin.rotate(made.record.id, DAY)
        give_token(database, new, "t", 2_000_000.0)
        for _ in range(2):
            key_admin.revoke_token("t")
            key_admin.revoke(new.record.id)
    assert [entry["event"] for entry in logs] == [
        "api_key_created",
        "api_key_created",
        "api_key_rotated",
        "token_revoked",
        "api_key_revoked",
    ]
    assert logs[2]["key_id"] == made.record.id
    assert logs[2]["by"] == new.record.id
    for secret in (made.text, new.text, made.text[14:57], new.text[14:57]):
        assert secret not in repr(logs)
        assert secret not in repr((made, new, key_admin, key_admin.all_keys()))
