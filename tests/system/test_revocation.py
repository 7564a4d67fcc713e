"""A stream ends with what it was opened with: its key, its token, its token's time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.support.frames import CLOSE
from tests.support.raw import RawStream, ask, connect, handshake, opened, read_response
from tests.support.server import Server, create_key, key_id, started, ticker
from tests.support.waiting import wait_until
from ticker.security.tokens import TokenSigner

#: Handshakes at once: the listener's backlog and the machine's two cores take this easily.
AT_ONCE: Final = 50
#: The promise (CONTRACT: a revoked key's live streams end within 1 s).
PROMISED_SECONDS: Final = 1.0
#: What a token of these tests lives for: long enough to open a stream with it.
SHORT_TTL: Final = 2.0
#: Expired tokens are looked for twice a second.
EXPIRY_SLACK_SECONDS: Final = 1.5


async def end_of(stream: RawStream, seconds: float = 10.0) -> tuple[int, float]:
    """Read a stream to its close frame; return the code, and when that came."""
    while True:
        frame = await stream.frame(seconds)
        assert frame is not None, "the stream ended without a close frame"
        if frame.opcode == CLOSE:
            return frame.code, time.time()


async def revoked_at(server: Server, *command: str) -> float:
    """Revoke by the command line in another process; return when that was written."""
    done = await trio.to_thread.run_sync(ticker, server.data_dir, *command)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (event,) = [event for event in events if event["event"].endswith("_revoked")]
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def token_id(server: Server, user: str) -> str:
    """Find the id of the only token of a user."""
    shown = ticker(server.data_dir, "tokens", "list", "--json")
    (found,) = [entry for entry in json.loads(shown.stdout) if user in json.dumps(entry)]
    return str(found["id"])


async def open_many(
    server: Server, token: str, count: int, nursery: trio.Nursery
) -> list[RawStream]:
    """Open many streams that ask for a tick a minute; they end with the nursery."""
    streams: list[RawStream] = []
    places = trio.CapacityLimiter(AT_ONCE)
    quiet = {"type": "subscribe", "interval_ms": 60_000}

    async def open_one() -> None:
        async with places:
            connection = await connect(server)
            await connection.send_all(handshake(server, token))
            response, rest = await read_response(connection)
            assert response.status == 101, response.body
            stream = RawStream(connection, response, rest)
            await stream.send(quiet)
            await stream.until("subscribed")
        streams.append(stream)

    async with trio.open_nursery() as opening:
        for _ in range(count):
            opening.start_soon(open_one)
    nursery.start_soon(close_all, streams)
    return streams


async def close_all(streams: list[RawStream]) -> None:
    """Close every socket once the test is over."""
    try:
        await trio.sleep_forever()
    finally:
        for stream in streams:
            stream.stream.socket.close()


@pytest.mark.parametrize(("by", "count"), [("key", 1000), ("token", 100)])
async def test_a_thousand_streams_end_within_a_second_and_others_go_on(
    tmp_path: Path, by: str, count: int
) -> None:
    env = {"TICKER_MAX_STREAMS_PER_TOKEN": "0", "TICKER_MAX_STREAMS_PER_ADDRESS": "0"}
    with started("serve", tmp_path / "data", env=env) as server:
        ada, bob = create_key(server, "ada"), create_key(server, "bob")
        doomed, healthy = server.new_token(ada), server.new_token(bob)
        revoke = ["keys", "revoke", key_id(ada)]
        if by == "token":
            revoke = ["tokens", "revoke", token_id(server, "ada")]
        ends: list[tuple[int, float]] = []

        async def note_end(stream: RawStream) -> None:
            ends.append(await end_of(stream, 30))

        async with opened(server, healthy) as bystander, trio.open_nursery() as nursery:
            streams = await open_many(server, doomed, count, nursery)
            server.wait_metric("ticker_streams_open", count + 1)
            async with trio.open_nursery() as readers:
                for stream in streams:
                    readers.start_soon(note_end, stream)
                written = await revoked_at(server, *revoke)
            assert [code for code, _ in ends] == [4001] * count
            assert max(at for _, at in ends) - written < PROMISED_SECONDS
            seq = (await bystander.until("ticker"))["seq"]
            for _ in range(50):
                newer = (await bystander.until("ticker"))["seq"]
                assert newer > seq
                seq = newer
            server.wait_metric("ticker_streams_open", 1)
            server.wait_metric('ticker_streams_closed_total{code="4001"}', count)
            nursery.cancel_scope.cancel()
        refused = await ask(server, handshake(server, doomed))
        assert (refused.status, refused.error) == (401, "invalid token")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose tokens live for two seconds, with a role that may outlive them."""
    directory = tmp_path_factory.mktemp("short")
    (directory / "ticker.toml").write_text(
        """
        [roles.patient]
        policies = ["everything"]
        outlive_token = true
        [policies.bitcoin]
        effect = "allow"
        actions = ["*"]
        resources = ["symbol:BTC-USD"]
        [roles.guest]
        policies = ["bitcoin"]
        """
    )
    env = {"TICKER_TOKEN_TTL": f"{SHORT_TTL:g}s"}
    with started("serve", directory / "data", env=env) as server:
        create_key(server, "ada")  # ends the demo key, whose log line is not of interest
        yield server


async def test_a_stream_ends_with_its_token(short: Server) -> None:
    issued = time.time()
    async with opened(short, short.new_token(create_key(short, "eve"))) as stream:
        welcome = await stream.message()
        assert welcome["expires_in"] <= SHORT_TTL
        code, ended = await end_of(stream)
    assert code == 4001
    assert ended - issued >= SHORT_TTL

    def logged() -> list[dict[str, Any]]:
        events = short.events("stream_opened") + short.events("stream_closed")
        hers = [event for event in events if event["user_id"] == "user:eve"]
        return hers if len(hers) == 2 else []

    opening, closing = wait_until(logged, "both events of the stream")
    assert opening["address"] == "127.0.0.1"
    assert (closing["code"], closing["key_id"]) == (4001, opening["key_id"])


async def test_a_stream_that_renews_in_time_goes_on_and_another_does_not(short: Server) -> None:
    key = create_key(short, "ada")
    first = short.new_token(key)
    began = time.time()
    async with opened(short, first) as renewed, opened(short, first) as left:
        async with trio.open_nursery() as nursery:

            async def stay() -> None:
                """Renew at half of each token's life, for two lives; then let it run out."""
                with trio.move_on_after(2 * SHORT_TTL):
                    while True:
                        token = await trio.to_thread.run_sync(short.new_token, key)
                        await renewed.send({"type": "auth", "token": token, "id": "again"})
                        answer = await renewed.until("authenticated", id="again")
                        assert 0 < answer["expires_in"] <= SHORT_TTL
                        await read_for(renewed, SHORT_TTL / 2)

            nursery.start_soon(stay)
            code, ended = await end_of(left)
            assert code == 4001
            assert ended - began < SHORT_TTL + EXPIRY_SLACK_SECONDS
        code, ended = await end_of(renewed)
        assert code == 4001
        assert ended - began >= 2 * SHORT_TTL


async def read_for(stream: RawStream, seconds: float) -> None:
    """Read prices for so long."""
    with trio.move_on_after(seconds):
        while True:
            assert (await stream.message())["type"] in {"ticker", "welcome"}


async def test_a_role_may_outlive_its_token_but_not_a_revocation(short: Server) -> None:
    key = create_key(short, "pat", "--role", "patient")
    token = short.new_token(key)
    async with opened(short, token) as stream:
        await read_for(stream, SHORT_TTL + EXPIRY_SLACK_SECONDS)
        # The token opens nothing new meanwhile.
        assert (await ask(short, handshake(short, token))).status == 401
        await stream.until("ticker")
        async with trio.open_nursery() as nursery:
            ended: list[Any] = []

            async def note_end() -> None:
                ended.append(await end_of(stream))

            nursery.start_soon(note_end)
            written = await revoked_at(short, "keys", "revoke", key_id(key))
        assert ended[0][0] == 4001
        assert ended[0][1] - written < PROMISED_SECONDS


async def test_a_stream_is_renewed_only_by_a_good_token_of_its_own_user(server: Server) -> None:
    keys = {user: create_key(server, user) for user in ("ada", "bob", "cid")}
    revoked = server.new_token(keys["cid"])
    async with opened(server, server.new_token(keys["ada"])) as stream:
        await stream.until("welcome", user_id="user:ada")
        done = ticker(server.data_dir, "keys", "revoke", key_id(keys["cid"]))
        assert done.returncode == 0
        for token, code in (
            (server.new_token(keys["bob"]), "forbidden"),
            ("nonsense", "invalid_token"),
            ("", "invalid_token"),
            ("\u00e9" * 87, "invalid_token"),
            (TokenSigner((b"x" * 32,)).issue()[0], "invalid_token"),
        ):
            await stream.send({"type": "auth", "token": token, "id": 1})
            assert (await stream.until("error", id=1))["code"] == code
        await trio.to_thread.run_sync(refused_soon, server, revoked)
        await stream.send({"type": "auth", "token": revoked, "id": 2})
        assert (await stream.until("error", id=2))["code"] == "invalid_token"
        # The stream goes on as what it was, and a good token is still taken.
        await stream.until("ticker")
        await stream.send({"type": "auth", "token": server.new_token(keys["ada"]), "id": 3})
        assert (await stream.until("authenticated", id=3))["expires_in"] == 3600
        # Its new token is what it hangs on now.
        await trio.to_thread.run_sync(
            ticker, server.data_dir, "keys", "revoke", key_id(keys["ada"])
        )
        assert (await end_of(stream))[0] == 4001


def refused_soon(server: Server, token: str) -> None:
    """Wait until the server has seen a revocation."""
    bearer = {"Authorization": f"Bearer {token}"}
    began = time.monotonic()
    while server.request("GET", "/prices", headers=bearer)[0] != 401:
        assert time.monotonic() - began < PROMISED_SECONDS


async def test_an_expired_token_renews_nothing(short: Server) -> None:
    key = create_key(short, "dan", "--role", "patient")
    old = short.new_token(key)
    async with opened(short, old) as stream:
        await read_for(stream, SHORT_TTL + 0.2)
        await stream.send({"type": "auth", "token": old, "id": 1})
        assert (await stream.until("error", id=1))["code"] == "invalid_token"
        await stream.until("ticker")


async def test_a_stream_keeps_the_role_that_it_began_with(short: Server) -> None:
    # Roles belong to keys, and limits were counted when the stream began: a user with two
    # keys could else have the streams of one with the rights of the other.
    wide, narrow = create_key(short, "gus"), create_key(short, "gus", "--role", "guest")
    async with opened(short, short.new_token(wide)) as stream:
        await stream.send({"type": "auth", "token": short.new_token(narrow), "id": 1})
        assert (await stream.until("error", id=1))["code"] == "forbidden"
        assert len((await stream.until("ticker"))["data"]) == 3
    async with opened(short, short.new_token(narrow)) as stream:
        await stream.send({"type": "auth", "token": short.new_token(wide), "id": 1})
        assert (await stream.until("error", id=1))["code"] == "forbidden"
        assert len((await stream.until("ticker"))["data"]) == 1
