"""Without a database, or with another one, with a slow or a busy one, what can go on goes on."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.support.issuing import (
    PATIENCE,
    Ended,
    Issuer,
    bytes_of,
    refused_token,
    until,
)
from ticker import limits
from ticker.security.authority import (
    DatabaseUnavailableError,
    Grant,
)
from ticker.security.key_admin import KeyAdmin
from ticker.security.token_store import TokenStore
from ticker.storage import tokens
from ticker.storage.sqlite import SqliteDatabase


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATABASE_BUSY_SECONDS", 0.3)
    monkeypatch.setattr(limits, "DATABASE_DEADLINE_SECONDS", 0.05)


async def test_without_a_database_known_tokens_go_on_and_nothing_new_is_issued(
    issuer: Issuer,
) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    issued = await authority.exchange(made.text, "10.0.0.1")
    away = issuer.database.path.parent.with_name("away")
    issuer.database.path.parent.rename(away)
    assert await authority.authenticate(issued.token) == issued.grant
    with pytest.raises(DatabaseUnavailableError):
        await issuer.authority().authenticate(issued.token)
    with pytest.raises(DatabaseUnavailableError):
        await authority.exchange(made.text, "10.0.0.1")
    away.rename(issuer.database.path.parent)
    await authority.exchange(made.text, "10.0.0.1")
    assert await issuer.authority().authenticate(issued.token) == issued.grant


async def test_the_watch_outlives_an_unavailable_database_and_catches_up(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority, ended = issuer.authority(), Ended()
    issued = await authority.exchange(made.text, "10.0.0.1")
    away = issuer.database.path.parent.with_name("away")
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(authority.run, ended)
            issuer.database.path.parent.rename(away)
            await until(lambda: not authority.statistics().database_available)
            elsewhere = SqliteDatabase(f"sqlite:///{away}/auth.db")
            KeyAdmin(elsewhere, bytes(32)).revoke(made.record.id)
            elsewhere.close()
            away.rename(issuer.database.path.parent)
            await ended.wait_for(issued.grant.token_id)
            await until(lambda: authority.statistics().database_available)
            nursery.cancel_scope.cancel()
    events = [entry["event"] for entry in logs if entry["event"].startswith("database_")]
    assert events == ["database_unavailable", "database_available"]


async def test_another_database_in_its_place_empties_the_cache(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    issuer.key_admin.revoke(issuer.key_admin.create("bob", "user").record.id)
    authority, ended = issuer.authority(), Ended()
    issued = await authority.exchange(made.text, "10.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        await until(lambda: authority.statistics().revocations_seen == 1)
        issuer.database.close()
        for path in issuer.database.path.parent.iterdir():
            path.unlink()
        issuer.database.migrate()
        await until(lambda: authority.statistics().tokens_cached == 0)
        nursery.cancel_scope.cancel()
    assert await refused_token(authority, issued.token) == "unknown"


@pytest.mark.usefixtures("impatient")
async def test_a_database_that_does_not_answer_is_given_up_after_the_deadline(
    issuer: Issuer,
) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    with issuer.database.write(), pytest.raises(DatabaseUnavailableError) as error:
        await authority.exchange(made.text, "10.0.0.1")
    assert error.value.reason == "slow"


async def test_a_flood_of_exchanges_keeps_no_lookup_waiting(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    authority = issuer.authority()
    stuck, go_on = threading.Semaphore(0), threading.Event()

    def wait(_self: TokenStore, *_args: object) -> tuple[Grant, bool]:
        stuck.release()
        go_on.wait(PATIENCE)
        return issued.grant, False

    monkeypatch.setattr(TokenStore, "exchange", wait)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(authority.exchange, made.text, "10.0.0.1")
        await trio.to_thread.run_sync(stuck.acquire)
        with trio.fail_after(PATIENCE / 2):
            assert await authority.authenticate(issued.token) == issued.grant
        go_on.set()


async def test_expired_tokens_are_removed_by_the_watch(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOKEN_PURGE_BATCH", 2)
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    for _ in range(5):
        await authority.exchange(made.text, "10.0.0.1")
    issuer.time += 3600

    def stored() -> int:
        with issuer.database.read() as connection:
            return len(tokens.of_key(connection, made.record.id))

    assert stored() == 5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, Ended())
        await until(lambda: stored() == 0)
        nursery.cancel_scope.cancel()


async def test_no_address_remains_in_any_file_after_its_token_was_removed(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    for number in range(200):
        await authority.exchange(made.text, f"203.0.113.{number % 250}")
    assert b"203.0.113." in bytes_of(issuer.database)
    issuer.time += 1800
    await authority.exchange(made.text, "198.51.100.1")
    issuer.time += 1800
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, Ended())
        await until(lambda: b"203.0.113." not in bytes_of(issuer.database))
        nursery.cancel_scope.cancel()
    assert b"198.51.100.1" in bytes_of(issuer.database)
