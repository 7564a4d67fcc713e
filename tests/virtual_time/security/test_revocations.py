"""What is revoked, by whatever process, opens nothing more and ends what it opened."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from typing import Any, Literal

import pytest
import trio
import trio.testing

from tests.support.issuing import (
    PATIENCE,
    Ended,
    Issuer,
    refused_key,
    refused_token,
    until,
)
from ticker import limits
from ticker.security.authority import (
    Grant,
)
from ticker.security.token_store import TokenStore
from ticker.storage import keys, tokens
from ticker.storage.interface import Transaction


@pytest.mark.parametrize(
    ("revoke", "store"), [("key", "database"), ("token", "database"), ("key", "memory")]
)
async def test_a_revocation_reaches_the_watch(
    issuer: Issuer, revoke: str, store: Literal["database", "memory"]
) -> None:
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

    def revoked_just_before(*, together: bool) -> AbstractContextManager[Transaction]:
        with write() as connection:
            keys.revoke(connection, made.record.id, issuer.time)
        return write(together=together)

    monkeypatch.setattr(issuer.database, "write", revoked_just_before)
    assert await refused_key(issuer.authority(), made.text) == "revoked"
