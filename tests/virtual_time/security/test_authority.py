"""The authority: keys become tokens, tokens open what they stand for, and end when told to."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest
import trio
import trio.testing
from sqlalchemy import Connection, event
from structlog.testing import capture_logs

from ticker import limits
from ticker.security.authority import (
    Authority,
    DatabaseUnavailableError,
    Grant,
    InvalidApiKeyError,
    InvalidTokenError,
)
from ticker.security.key_admin import KeyAdmin
from ticker.security.keys import new_key
from ticker.security.token_store import TokenStore
from ticker.security.tokens import TokenSigner
from ticker.storage import keys, tokens
from ticker.storage.sqlite import SqliteDatabase

PATIENCE = 5.0


class Issuer(Protocol):
    """What the fixture in conftest.py gives."""

    database: SqliteDatabase
    time: float
    signer: TokenSigner
    key_admin: KeyAdmin
    authority: Callable[..., Authority]
    now: Callable[[], float]


class Ended:
    """Collects what a watch tells."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self._more = trio.Event()

    def __call__(self, ids: Collection[str]) -> None:
        self.ids.update(ids)
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, name: str) -> None:
        with trio.fail_after(PATIENCE):
            while name not in self.ids:
                await self._more.wait()


async def refused_key(authority: Authority, key: str) -> str:
    with pytest.raises(InvalidApiKeyError) as error:
        await authority.exchange(key, "10.0.0.9")
    assert str(error.value) == "invalid API key"
    return error.value.reason


async def refused_token(authority: Authority, token: str) -> str:
    with pytest.raises(InvalidTokenError) as error:
        await authority.authenticate(token)
    assert str(error.value) == "invalid token"
    return error.value.reason


def database_reads(database: SqliteDatabase) -> list[str]:
    """Note every transaction that begins from now on."""
    seen: list[str] = []
    event.listen(database._engine, "begin", lambda _connection: seen.append("begin"))
    return seen


async def test_a_key_becomes_a_token_that_stands_for_its_user(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    issued = await authority.exchange(made.text, "10.0.0.1")
    assert issued.grant == Grant(
        token_id=issued.grant.token_id,
        key_id=made.record.id,
        user_id="user:ada",
        role="user",
        policies=("everything",),
        address="10.0.0.1",
        issued_at=1_000_000.0,
        expires_at=1_003_600.0,
    )
    assert await authority.authenticate(issued.token) == issued.grant
    assert issued.token not in repr(issued)
    assert issued.token.split(".")[0] not in repr(issued)


async def test_a_token_survives_a_restart(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    assert await issuer.authority().authenticate(issued.token) == issued.grant


async def test_with_the_memory_store_a_token_ends_with_the_process(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority(store="memory")
    issued = await authority.exchange(made.text, "10.0.0.1")
    assert await authority.authenticate(issued.token) == issued.grant
    assert await refused_token(issuer.authority(store="memory"), issued.token) == "unknown"
    assert issuer.key_admin.live_tokens() == []


async def test_a_token_never_outlives_its_key(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user", 60.0)
    authority = issuer.authority()
    issued = await authority.exchange(made.text, "10.0.0.1")
    assert issued.grant.expires_at == 1_000_060.0
    issuer.time += 60
    assert await refused_token(authority, issued.token) == "expired"
    assert not authority.still_good(issued.grant)


async def test_an_expired_token_is_refused_from_the_cache_and_from_the_database(
    issuer: Issuer,
) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    issued = await authority.exchange(made.text, "10.0.0.1")
    issuer.time += 3599.9
    assert authority.still_good(issued.grant)
    assert await authority.authenticate(issued.token) == issued.grant
    issuer.time += 0.1
    assert await refused_token(authority, issued.token) == "expired"
    assert await refused_token(issuer.authority(), issued.token) == "expired"
    assert authority.statistics().tokens_cached == 0


async def test_every_kind_of_bad_key_is_refused_for_its_own_reason(issuer: Issuer) -> None:
    key_admin = issuer.key_admin
    revoked, expired, live = (key_admin.create("ada", "user", 60.0) for _ in range(3))
    key_admin.revoke(revoked.record.id)
    authority = issuer.authority()
    stranger = new_key().text
    with capture_logs() as logs:
        assert await refused_key(authority, "tk_nonsense") == "malformed"
        assert await refused_key(authority, live.text[:-1] + "!") == "malformed"
        assert await refused_key(authority, stranger) == "unknown"
        assert await refused_key(authority, revoked.text) == "revoked"
        issuer.time += 60
        assert await refused_key(authority, expired.text) == "expired"
    assert [entry["reason"] for entry in logs] == [
        "malformed",
        "malformed",
        "unknown",
        "revoked",
        "expired",
    ]
    assert {entry["event"] for entry in logs} == {"token_refused"}
    assert {entry["address"] for entry in logs} == {"10.0.0.9"}
    for secret in (stranger, revoked.text, expired.text, live.text):
        assert secret[14:57] not in repr(logs)
    assert authority.statistics().keys_refused == {
        "malformed": 2,
        "unknown": 1,
        "revoked": 1,
        "expired": 1,
    }
    assert authority.statistics().tokens_issued == 0


async def test_a_key_of_another_pepper_has_the_wrong_secret(issuer: Issuer) -> None:
    made = KeyAdmin(issuer.database, bytes(32), issuer.now).create("ada", "user")
    assert await refused_key(issuer.authority(), made.text) == "wrong_secret"


async def test_a_typo_costs_no_database_read_and_a_guess_never_the_write_lock(
    issuer: Issuer,
) -> None:
    authority = issuer.authority()
    begun = database_reads(issuer.database)
    assert await refused_key(authority, new_key().text[:-1]) == "malformed"
    assert begun == []
    with issuer.database.write():
        assert await refused_key(authority, new_key().text) == "unknown"


async def test_a_forged_or_cached_token_asks_no_database(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    issued = await authority.exchange(made.text, "10.0.0.1")
    begun = database_reads(issuer.database)
    assert await authority.authenticate(issued.token) == issued.grant
    assert await refused_token(authority, TokenSigner([b"x" * 32]).issue()[0]) == "forged"
    assert await refused_token(authority, issued.token + "=") == "malformed"
    assert begun == []
    assert await refused_token(authority, issuer.signer.issue()[0]) == "unknown"
    assert begun == ["begin"]
    assert authority.statistics().tokens_refused == {"forged": 1, "malformed": 1, "unknown": 1}


async def test_a_token_is_looked_up_once_for_however_many_ask_at_a_time(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    authority = issuer.authority()
    begun = database_reads(issuer.database)
    found: list[Grant] = []

    async def ask() -> None:
        found.append(await authority.authenticate(issued.token))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
        nursery.start_soon(refused_token, authority, issuer.signer.issue()[0])
    assert found == [issued.grant] * 20
    assert begun == ["begin"] * 2


async def test_a_request_that_waits_for_a_lookup_that_is_given_up_asks_anew(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    authority = issuer.authority()
    has_begun, go_on = threading.Event(), threading.Event()
    look_up = TokenStore.look_up

    def slow_look_up(self: TokenStore, name: str) -> Grant:
        has_begun.set()
        go_on.wait(PATIENCE)
        return look_up(self, name)

    monkeypatch.setattr(TokenStore, "look_up", slow_look_up)
    found: list[Grant] = []

    async def ask() -> None:
        found.append(await authority.authenticate(issued.token))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as given_up:
            given_up.start_soon(ask)
            await trio.to_thread.run_sync(has_begun.wait, PATIENCE)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            given_up.cancel_scope.cancel()
        go_on.set()
    assert found == [issued.grant]


async def test_a_token_is_known_while_it_is_good_and_in_the_cache(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    authority = issuer.authority()
    begun = database_reads(issuer.database)
    assert not authority.knows(issued.token)
    assert not authority.knows("nonsense")
    assert begun == []
    await authority.authenticate(issued.token)
    assert authority.knows(issued.token)
    issuer.time += 3600
    assert not authority.knows(issued.token)


async def test_rotated_token_keys_log_no_user_out(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    issuer.signer = TokenSigner([b"n" * 32, b"k" * 32])
    assert await issuer.authority().authenticate(issued.token) == issued.grant
    issuer.signer = TokenSigner([b"n" * 32])
    assert await refused_token(issuer.authority(), issued.token) == "forged"


async def test_use_is_noted_and_the_first_is_logged(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    with capture_logs() as logs:
        first = await authority.exchange(made.text, "10.0.0.1")
        issuer.time += 10
        second = await authority.exchange(made.text, "10.0.0.2")
    assert [entry["event"] for entry in logs] == [
        "api_key_first_used",
        "token_issued",
        "token_issued",
    ]
    assert logs[1]["token_id"] == first.grant.token_id
    assert logs[1]["address"] == "10.0.0.1"
    for secret in (first.token, second.token, *first.token.split("."), made.text[14:57]):
        assert secret not in repr(logs)
    (record,) = issuer.key_admin.all_keys()
    assert (record.first_used_at, record.last_used_at) == (1_000_000.0, 1_000_010.0)


async def test_no_token_is_in_the_database_in_the_clear(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    issuer.database.close()
    stored = b"".join(path.read_bytes() for path in issuer.database.path.parent.iterdir())
    assert issued.grant.token_id.encode() in stored
    for secret in (*issued.token.split("."), made.text[14:57]):
        assert secret.encode() not in stored


@pytest.mark.parametrize(
    ("revoke", "store"), [("key", "database"), ("token", "database"), ("key", "memory")]
)
async def test_a_revocation_reaches_the_watch(issuer: Issuer, revoke: str, store: str) -> None:
    made = issuer.key_admin.create("ada", "user")
    other = issuer.key_admin.create("bob", "user")
    authority, ended = issuer.authority(store=store), Ended()
    issued = await authority.exchange(made.text, "10.0.0.1")
    bystander = await authority.exchange(other.text, "10.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        if revoke == "key":
            issuer.key_admin.revoke(made.record.id)
        else:
            issuer.key_admin.revoke_token(issued.grant.token_id)
        await ended.wait_for(issued.grant.token_id)
        nursery.cancel_scope.cancel()
    assert not authority.still_good(issued.grant)
    assert await refused_token(authority, issued.token) in {"revoked", "unknown"}
    assert bystander.grant.token_id not in ended.ids
    assert await authority.authenticate(bystander.token) == bystander.grant


REVOKER = """
import sys
from ticker.security.key_admin import KeyAdmin
from ticker.storage.sqlite import SqliteDatabase

key_admin = KeyAdmin(SqliteDatabase(sys.argv[1]), bytes(32))
sys.stdin.readline()
getattr(key_admin, sys.argv[2])(sys.argv[3])
print("done")
"""


@pytest.mark.parametrize("revoke", ["revoke", "revoke_token"])
async def test_a_revocation_in_another_process_is_seen_well_within_a_second(
    issuer: Issuer, revoke: str
) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority, ended = issuer.authority(), Ended()
    issued = await authority.exchange(made.text, "10.0.0.1")
    name = made.record.id if revoke == "revoke" else issued.grant.token_id
    other = await trio.lowlevel.open_process(
        [sys.executable, "-c", REVOKER, f"sqlite:///{issuer.database.path}", revoke, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        assert other.stdin is not None
        assert other.stdout is not None
        with trio.fail_after(30):
            await other.stdin.send_all(b"go\n")
            while b"done" not in await other.stdout.receive_some():
                pass
        done = trio.current_time()
        await ended.wait_for(issued.grant.token_id)
        assert trio.current_time() - done < 1.0
        assert await refused_token(authority, issued.token) == "revoked"
        nursery.cancel_scope.cancel()
    await other.wait()


async def test_a_token_revoked_before_the_start_is_refused(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    issuer.key_admin.revoke_token(issued.grant.token_id)
    assert await refused_token(issuer.authority(), issued.token) == "revoked"


async def test_a_revocation_between_start_and_first_look_is_not_missed(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority, ended = issuer.authority(), Ended()
    issued = await authority.exchange(made.text, "10.0.0.1")
    issuer.key_admin.revoke(made.record.id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        await ended.wait_for(issued.grant.token_id)
        assert made.record.id in ended.ids
        nursery.cancel_scope.cancel()


async def test_more_revocations_than_a_batch_are_all_told(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REVOCATION_BATCH", 3)
    # The next batch must not wait for the next look.
    monkeypatch.setattr(limits, "REVOCATION_POLL_SECONDS", 10 * PATIENCE)
    made = [issuer.key_admin.create("ada", "user").record.id for _ in range(10)]
    for key_id in made:
        issuer.key_admin.revoke(key_id)
    authority, ended = issuer.authority(), Ended()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        await ended.wait_for(made[-1])
        nursery.cancel_scope.cancel()
    assert ended.ids == set(made)
    assert authority.statistics().revocations_seen == 10


async def test_a_key_with_a_thousand_tokens_ends_them_all_within_a_second(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority, ended = issuer.authority(), Ended()
    issued = await authority.exchange(made.text, "10.0.0.1")
    with issuer.database.write() as connection:
        record = tokens.find(connection, issued.grant.token_id)
        assert record is not None
        for number in range(1000):
            tokens.add(connection, dataclasses.replace(record, id=f"{number:032}"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        await until(lambda: authority.statistics().database_available)
        begun = trio.current_time()
        issuer.key_admin.revoke(made.record.id)
        await ended.wait_for(issued.grant.token_id)
        assert trio.current_time() - begun < 1.0
        nursery.cancel_scope.cancel()
    assert len(ended.ids) == 1002


async def test_a_token_revoked_while_it_is_looked_up_is_refused(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = issuer.key_admin.create("ada", "user")
    issued = await issuer.authority().exchange(made.text, "10.0.0.1")
    authority, ended = issuer.authority(), Ended()
    has_read, go_on = threading.Event(), threading.Event()
    look_up = TokenStore.look_up

    def slow_look_up(self: TokenStore, name: str) -> Grant:
        grant = look_up(self, name)
        has_read.set()
        go_on.wait(PATIENCE)
        return grant

    monkeypatch.setattr(TokenStore, "look_up", slow_look_up)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        async with trio.open_nursery() as looking_up:
            looking_up.start_soon(refused_token, authority, issued.token)
            await trio.to_thread.run_sync(has_read.wait, PATIENCE)
            issuer.key_admin.revoke_token(issued.grant.token_id)
            await ended.wait_for(issued.grant.token_id)
            go_on.set()
        nursery.cancel_scope.cancel()
    assert authority.statistics().tokens_refused == {"revoked": 1}
    assert authority.statistics().tokens_cached == 0


async def test_a_key_revoked_while_it_is_exchanged_gives_no_token(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority, ended = issuer.authority(), Ended()
    has_stored, go_on = threading.Event(), threading.Event()
    exchange = TokenStore.exchange

    def slow_exchange(self: TokenStore, *args: Any) -> tuple[Grant, bool]:
        result = exchange(self, *args)
        has_stored.set()
        go_on.wait(PATIENCE)
        return result

    monkeypatch.setattr(TokenStore, "exchange", slow_exchange)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.run, ended)
        async with trio.open_nursery() as exchanging:
            exchanging.start_soon(refused_key, authority, made.text)
            await trio.to_thread.run_sync(has_stored.wait, PATIENCE)
            issuer.key_admin.revoke(made.record.id)
            await ended.wait_for(made.record.id)
            go_on.set()
        nursery.cancel_scope.cancel()
    assert authority.statistics().keys_refused == {"revoked": 1}
    assert authority.statistics().tokens_cached == 0


async def test_a_key_revoked_after_its_first_check_gives_no_token(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = issuer.key_admin.create("ada", "user")
    write = issuer.database.write

    def revoked_just_before(*, together: bool) -> AbstractContextManager[Connection]:
        with write() as connection:
            keys.revoke(connection, made.record.id, issuer.time)
        return write(together=together)

    monkeypatch.setattr(issuer.database, "write", revoked_just_before)
    assert await refused_key(issuer.authority(), made.text) == "revoked"


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


async def until(condition: Callable[[], bool]) -> None:
    """Wait, looking as often as the watch does."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - threads and files send no events
            await trio.sleep(limits.REVOCATION_POLL_SECONDS / 4)


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


def bytes_of(database: SqliteDatabase) -> bytes:
    return b"".join(path.read_bytes() for path in database.path.parent.iterdir())


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


async def test_a_refused_token_is_looked_up_once_in_a_while(
    issuer: Issuer, mock_clock: trio.testing.MockClock
) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority, restarted = issuer.authority(), issuer.authority()
    expired = await authority.exchange(made.text, "10.0.0.1")
    revoked = await authority.exchange(made.text, "10.0.0.1")
    issuer.key_admin.revoke_token(revoked.grant.token_id)
    issuer.time += 3600
    unknown, _ = issuer.signer.issue()
    begun = database_reads(issuer.database)
    for _ in range(3):
        assert await refused_token(restarted, expired.token) == "expired"
        assert await refused_token(restarted, revoked.token) == "revoked"
        assert await refused_token(restarted, unknown) == "unknown"
    assert len(begun) == 3
    assert await refused_token(authority, expired.token) == "expired"
    assert await refused_token(authority, expired.token) == "expired"
    assert len(begun) == 3
    mock_clock.jump(limits.TOKEN_REFUSED_SECONDS)
    assert await refused_token(restarted, unknown) == "unknown"
    assert len(begun) == 4


async def test_the_cache_is_bounded_and_tokens_beyond_it_are_looked_up(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOKEN_CACHE_ENTRIES", 3)
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    issued = [await authority.exchange(made.text, "10.0.0.1") for _ in range(6)]
    assert authority.statistics().tokens_cached == 3
    for entry in issued:
        assert await authority.authenticate(entry.token) == entry.grant
    assert authority.statistics().tokens_cached == 3


async def test_an_exchange_that_is_cancelled_leaves_the_authority_working(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    with trio.CancelScope() as scope:
        scope.cancel()
        await authority.exchange(made.text, "10.0.0.1")
    assert scope.cancelled_caught
    await authority.exchange(made.text, "10.0.0.1")
    assert authority.statistics().tokens_issued == 1


async def test_no_representation_shows_a_secret(issuer: Issuer) -> None:
    made = issuer.key_admin.create("ada", "user")
    authority = issuer.authority()
    issued = await authority.exchange(made.text, "10.0.0.1")
    shown = repr((authority, authority._store, authority._signer, authority.statistics(), issued))
    for secret in (made.text[14:57], *issued.token.split("."), repr(bytes(range(32)))):
        assert secret not in shown
