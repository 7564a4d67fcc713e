"""Statements about keys, tokens and revocations."""

from __future__ import annotations

import dataclasses

import pytest

from ticker import limits
from ticker.storage import keys, tokens
from ticker.storage.interface import Database
from ticker.storage.keys import KeyRecord
from ticker.storage.tokens import Revocation, TokenRecord

KEY = KeyRecord("key", bytes(range(32)), "ada", "user", demo=False, created_at=1.0)
TOKEN = TokenRecord("token", "key", "user:ada", "user", "everything", "::1", 10.0, 20.0)


@pytest.fixture
def database(any_database: Database) -> Database:
    return any_database


@pytest.fixture
def stocked(database: Database) -> Database:
    with database.write() as connection:
        keys.add(connection, KEY)
        tokens.add(connection, TOKEN)
    return database


def test_a_key_reads_back_as_it_was_stored(stocked: Database) -> None:
    with stocked.read() as connection:
        assert keys.find(connection, "key") == KEY
        assert keys.find(connection, "other") is None
        assert keys.listed(connection) == [KEY]
        assert keys.any_real(connection)
        assert keys.live_demo(connection) == []


def test_a_demo_key_is_not_a_real_one(database: Database) -> None:
    demo = dataclasses.replace(KEY, demo=True)
    with database.write() as connection:
        keys.add(connection, demo)
        assert not keys.any_real(connection)
        assert keys.live_demo(connection) == [demo]
        keys.revoke(connection, "key", 5.0)
        assert keys.live_demo(connection) == []


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "state"),
    [
        (None, None, "live"),
        (5.1, None, "live"),
        (5.0, None, "expired"),
        (None, 1.0, "revoked"),
        (4.0, 1.0, "revoked"),
    ],
)
def test_a_key_is_live_until_it_is_revoked_or_expires(
    expires_at: float | None, revoked_at: float | None, state: str
) -> None:
    key = dataclasses.replace(KEY, expires_at=expires_at, revoked_at=revoked_at)
    assert key.state(5.0) == state


def test_use_is_noted_first_and_last(stocked: Database) -> None:
    with stocked.write() as connection:
        keys.mark_used(connection, "key", 3.0)
        keys.mark_used(connection, "key", 4.0)
        found = keys.find(connection, "key")
    assert found == dataclasses.replace(KEY, first_used_at=3.0, last_used_at=4.0)


def test_a_token_reads_back_as_it_was_stored(stocked: Database) -> None:
    with stocked.read() as connection:
        assert tokens.find(connection, "token") == TOKEN
        assert tokens.find(connection, "other") is None
        assert tokens.of_key(connection, "key") == ["token"]


def test_a_revoked_keys_tokens_are_revoked(stocked: Database) -> None:
    with stocked.write() as connection:
        assert keys.revoke(connection, "key", 12.0)
        assert not keys.revoke(connection, "key", 13.0)
        found = tokens.find(connection, "token")
        assert tokens.live(connection, 15.0) == []
        assert tokens.revocations_after(connection, 0) == [Revocation(1, None, "key")]
    assert found == dataclasses.replace(TOKEN, revoked_at=12.0)


def test_a_revoked_token_is_told_once(stocked: Database) -> None:
    with stocked.write() as connection:
        assert tokens.live(connection, 15.0) == [TOKEN]
        assert tokens.revoke(connection, "token", 12.0)
        assert not tokens.revoke(connection, "token", 13.0)
        assert not tokens.revoke(connection, "other", 13.0)
        assert tokens.live(connection, 15.0) == []
        assert tokens.last_revocation(connection) == 1
        assert tokens.revocations_after(connection, 0) == [Revocation(1, "token", None)]
        assert tokens.revocations_after(connection, 1) == []


def test_an_expired_token_is_not_listed(stocked: Database) -> None:
    with stocked.read() as connection:
        assert tokens.live(connection, 20.0) == []
        assert tokens.live(connection, 19.9) == [TOKEN]


def test_expired_tokens_are_removed_a_batch_at_a_time(
    stocked: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOKEN_PURGE_BATCH", 3)
    with stocked.write() as connection:
        for number in range(5):
            stored = dataclasses.replace(TOKEN, id=f"{number}", expires_at=number + 1.0)
            tokens.add(connection, stored)
        assert [tokens.purge(connection, 10.0) for _ in range(3)] == [3, 2, 0]
        assert tokens.of_key(connection, "key") == ["token"]


def test_old_revocations_are_removed_but_the_newest(stocked: Database) -> None:
    later = limits.REVOCATION_KEPT_SECONDS + 100.0
    with stocked.write() as connection:
        keys.revoke(connection, "key", 12.0)
        tokens.revoke(connection, "token", 13.0)
        assert tokens.last_revocation(connection) == 2
        # The expired token and the older of the two.
        assert tokens.purge(connection, later) == 2
        assert tokens.revocations_after(connection, 0) == [Revocation(2, "token", None)]
        assert tokens.purge(connection, later) == 0


def test_the_hash_is_not_in_a_keys_representation() -> None:
    assert "hash" not in repr(KEY)
    assert repr(KEY.hash) not in repr(KEY)
