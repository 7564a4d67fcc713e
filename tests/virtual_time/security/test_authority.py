"""The authority: keys become tokens, tokens open what they stand for, and end when told to."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.support.issuing import (
    PATIENCE,
    Issuer,
    database_reads,
    refused_key,
    refused_token,
)
from ticker import limits
from ticker.security.authority import (
    Grant,
)
from ticker.security.key_admin import KeyAdmin
from ticker.security.keys import new_key
from ticker.security.token_store import TokenStore
from ticker.security.tokens import TokenSigner


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
