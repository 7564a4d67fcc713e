"""The stream, message by message and close code by close code, as the contract has it."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
import websockets.exceptions
import websockets.sync.client

from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame
from tests.support.libraries import trio_client
from tests.support.raw import RawStream, opened
from tests.support.sabotage import ENVIRONMENT, SERVE, break_part
from tests.support.server import Server, create_key, key_id, started, ticker
from tests.support.waiting import eventually
from ticker import __version__, limits

SYMBOLS = ["BTC-USD", "ETH-USD", "SOL-USD"]
START = {"BTC-USD": 42000.0, "ETH-USD": 2500.0, "SOL-USD": 95.0}


@asynccontextmanager
async def greeted(server: Server, token: str | None = None) -> AsyncIterator[RawStream]:
    """Open a stream and pass over the welcome and the first snapshot."""
    async with opened(server, token) as stream:
        assert (await stream.message())["type"] == "welcome"
        assert (await stream.message())["snapshot"] is True
        yield stream


# --- what comes by itself ---


async def test_welcome_then_a_snapshot_then_ticks(launched: Server) -> None:
    async with opened(launched) as stream:
        welcome = await stream.message()
        now = time.time()
        assert welcome["type"] == "welcome"
        assert (welcome["user_id"], welcome["role"]) == ("user:demo", "user")
        assert (welcome["symbols"], welcome["tick_ms"]) == (SYMBOLS, 10)
        assert welcome["version"] == __version__
        assert welcome["expires_in"] == pytest.approx(3600, abs=120)
        assert welcome["time"] == pytest.approx(now * 1000, abs=5000)
        ticks = [await stream.message() for _ in range(30)]
    assert [tick["type"] for tick in ticks] == ["ticker"] * 30
    assert [tick.get("snapshot") for tick in ticks] == [True] + [None] * 29
    for tick in ticks:
        assert set(tick) - {"snapshot"} == {"type", "data", "seq", "time"}
        assert [entry["symbol"] for entry in tick["data"]] == SYMBOLS
        assert all(set(entry) == {"symbol", "price", "timestamp"} for entry in tick["data"])
        assert tick["time"] == pytest.approx(now * 1000, abs=5000)
        for entry in tick["data"]:
            assert entry["timestamp"] == pytest.approx(tick["time"] // 1000, abs=2)
            assert entry["price"] == pytest.approx(START[entry["symbol"]], rel=0.5)
    seqs = [tick["seq"] for tick in ticks]
    assert seqs == sorted(set(seqs))
    for before, after in pairwise(ticks):
        steps = after["seq"] - before["seq"] + 1
        for old, new in zip(before["data"], after["data"], strict=True):
            assert new["price"] == pytest.approx(old["price"], rel=0.0011 * steps)


async def test_prices_begin_where_the_contract_says(tmp_path: Path) -> None:
    async with _started(tmp_path, TICKER_TICK="5s") as server, opened(server) as stream:
        snapshot = await stream.until("ticker")
        assert {entry["symbol"]: entry["price"] for entry in snapshot["data"]} == START


@asynccontextmanager
async def _started(tmp_path: Path, **env: str) -> AsyncIterator[Server]:
    with started("serve", tmp_path / "data", env=env) as server:
        yield server


def check_pace(messages: list[dict[str, Any]], seconds: float) -> None:
    """Check for a hundred updates a second; the bounds are wide, since the machine is shared."""
    ticks = [message for message in messages if message["type"] == "ticker"]
    assert 60 <= len(ticks) / seconds <= 115
    seqs = [tick["seq"] for tick in ticks]
    assert seqs == sorted(set(seqs))
    jumps = sum(after - before > 1 for before, after in pairwise(seqs))
    assert jumps <= len(seqs) // 20


async def test_trio_websocket_sees_a_hundred_updates_a_second(launched: Server) -> None:
    messages = []
    async with trio_client(launched) as websocket:
        await websocket.get_message()
        with trio.move_on_after(2):
            while True:
                messages.append(json.loads(await websocket.get_message()))
    check_pace(messages, 2)


def test_websockets_sees_a_hundred_updates_a_second(launched: Server) -> None:
    headers = {"Authorization": f"Bearer {launched.token()}"}
    messages = []
    with websockets.sync.client.connect(launched.ws_url, additional_headers=headers) as websocket:
        websocket.recv(5)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            messages.append(json.loads(websocket.recv(5)))
    check_pace(messages, 2)


async def test_all_clients_get_the_same_ticks(server: Server) -> None:
    async with greeted(server) as one, greeted(server) as two:
        first = {tick["seq"]: tick for tick in [await one.until("ticker") for _ in range(40)]}
        second = {tick["seq"]: tick for tick in [await two.until("ticker") for _ in range(40)]}
    common = first.keys() & second.keys()
    assert len(common) > 20
    assert all(first[seq] == second[seq] for seq in common)


# --- what a client asks for ---


async def test_a_ping_is_answered(launched: Server) -> None:
    async with greeted(launched) as stream:
        await stream.send({"type": "ping"})
        assert await stream.until("pong") == {"type": "pong"}
        for request_id in (0, 7, -1, "a-\u00e9", 2**53 - 1):
            await stream.send({"type": "ping", "id": request_id})
            assert await stream.until("pong") == {"type": "pong", "id": request_id}


async def test_a_websocket_ping_is_answered_with_its_payload(launched: Server) -> None:
    async with opened(launched) as stream:
        await stream.stream.send_all(client_frame(PING, b"payload"))
        with trio.fail_after(5):
            while (frame := await stream.frame()) is not None and frame.opcode != PONG:
                pass
        assert frame is not None
        assert frame.payload == b"payload"


async def test_subscribe_replaces_the_subscription(launched: Server) -> None:
    async with greeted(launched) as stream:
        await stream.send(
            {"type": "subscribe", "symbols": ["ETH-USD", "BTC-USD"], "interval_ms": 100, "id": 1}
        )
        answer = await stream.until("subscribed")
        assert answer == {
            "type": "subscribed",
            "id": 1,
            "symbols": ["ETH-USD", "BTC-USD"],
            "interval_ms": 100,
            "mode": "latest",
            "detail": "price",
            "epoch": answer["epoch"],
            "seq": answer["seq"],
        }
        snapshot = await stream.message()
        assert snapshot["snapshot"] is True
        ticks = [await stream.message() for _ in range(5)]
        for tick in (snapshot, *ticks):
            assert [entry["symbol"] for entry in tick["data"]] == ["ETH-USD", "BTC-USD"]
        assert all("snapshot" not in tick for tick in ticks)
        assert {tick["seq"] % 10 for tick in ticks} == {0}
        await eventually(lambda: launched.metrics()["ticker_subscriptions"] == 1, "it counted once")


@pytest.mark.parametrize(
    ("asked", "given"), [(None, 10), (1, 10), (10, 10), (11, 20), (25, 30), (60_000, 60_000)]
)
async def test_an_interval_is_rounded_up_to_whole_ticks(
    server: Server, asked: int | None, given: int
) -> None:
    async with greeted(server) as stream:
        await stream.send({"type": "subscribe", "interval_ms": asked})
        answer = await stream.until("subscribed")
        assert (answer["symbols"], answer["interval_ms"]) == (SYMBOLS, given)


async def test_after_unsubscribed_no_tick_follows_until_the_next_subscribe(
    launched: Server,
) -> None:
    async with greeted(launched) as stream:
        await stream.send({"type": "unsubscribe", "id": "x"})
        assert await stream.until("unsubscribed") == {"type": "unsubscribed", "id": "x"}
        ticked = launched.metrics()["ticker_ticks_total"]
        await eventually(
            lambda: launched.metrics()["ticker_ticks_total"] > ticked + 20, "twenty ticks"
        )
        await stream.send({"type": "ping"})
        assert await stream.message() == {"type": "pong"}
        await stream.send({"type": "unsubscribe"})
        assert await stream.message() == {"type": "unsubscribed"}
        await stream.send({"type": "subscribe", "symbols": ["SOL-USD"]})
        assert (await stream.message())["type"] == "subscribed"
        assert (await stream.message())["snapshot"] is True


async def test_a_symbol_named_twice_comes_once(server: Server) -> None:
    async with greeted(server) as stream:
        await stream.send({"type": "subscribe", "symbols": ["BTC-USD"] * 5})
        assert (await stream.until("subscribed"))["symbols"] == ["BTC-USD"]
        assert len((await stream.until("ticker"))["data"]) == 1


@pytest.mark.parametrize(
    ("request_", "code", "request_id"),
    [
        ({"type": "subscribe", "symbols": ["DOGE-USD"], "id": 1}, "unknown_symbol", 1),
        ({"type": "subscribe", "symbols": ["BTC-USD", "x" * 900], "id": 2}, "unknown_symbol", 2),
        ({"type": "subscribe", "symbols": [], "id": 3}, "bad_message", 3),
        ({"type": "subscribe", "interval_ms": 0, "id": 3}, "bad_message", 3),
        ({"type": "subscribe", "interval_ms": "1", "id": 3}, "bad_message", 3),
        ({"type": "frobnicate", "id": 4}, "bad_message", 4),
        ({"type": "ping", "surplus": 1, "id": 5}, "bad_message", 5),
        ({"type": "auth", "id": 6}, "bad_message", 6),
        ({"type": "auth", "token": "nonsense", "id": 7}, "invalid_token", 7),
        ("{", "bad_message", None),
        ("", "bad_message", None),
        ("[]", "bad_message", None),
        ("\u00e9" * 100, "bad_message", None),
    ],
)
async def test_a_wrong_request_is_an_error_and_the_stream_goes_on(
    server: Server, request_: object, code: str, request_id: int | None
) -> None:
    async with greeted(server) as stream:
        await stream.send(request_)
        answer = await stream.until("error")
        assert (answer["code"], answer.get("id")) == (code, request_id)
        assert 0 < len(answer["message"]) <= 300
        tick = await stream.until("ticker")
        assert len(tick["data"]) == 3


async def test_what_the_policy_denies_is_forbidden_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").write_text(
        """
        [policies.bitcoin]
        effect = "allow"
        actions = ["connect", "subscribe"]
        resources = ["symbol:BTC-USD"]
        [policies.visit]
        effect = "allow"
        actions = ["connect"]
        resources = ["*"]
        [roles.guest]
        policies = ["bitcoin"]
        fastest_interval_ms = 50
        [roles.visitor]
        policies = ["visit"]
        """
    )
    async with _started(tmp_path) as server:
        guest = server.new_token(create_key(server, "ada", "--role", "guest"))
        async with opened(server, guest) as stream:
            welcome = await stream.message()
            assert (welcome["symbols"], welcome["role"]) == (["BTC-USD"], "guest")
            assert [entry["symbol"] for entry in (await stream.message())["data"]] == ["BTC-USD"]
            await stream.send({"type": "subscribe", "symbols": ["BTC-USD", "ETH-USD"], "id": 1})
            answer = await stream.until("error")
            assert (answer["code"], answer["id"]) == ("forbidden", 1)
            await stream.send({"type": "subscribe", "interval_ms": 10})
            answer = await stream.until("subscribed")
            assert (answer["symbols"], answer["interval_ms"]) == (["BTC-USD"], 50)
        visitor = server.new_token(create_key(server, "bob", "--role", "visitor"))
        async with opened(server, visitor) as stream:
            assert (await stream.message())["symbols"] == []
            await stream.send({"type": "subscribe", "id": 2})
            answer = await stream.message()
            assert (answer["type"], answer["code"], answer["id"]) == ("error", "forbidden", 2)


async def test_a_token_is_renewed_in_the_stream(server: Server) -> None:
    async with greeted(server) as stream:
        await stream.send({"type": "auth", "token": server.new_token(), "id": 3})
        answer = await stream.until("authenticated")
        assert answer == {"type": "authenticated", "id": 3, "expires_in": 3600}
        assert (await stream.until("ticker"))["data"]


async def test_a_token_of_another_user_does_not_renew(tmp_path: Path) -> None:
    async with _started(tmp_path) as server:
        ada, bob = (server.new_token(create_key(server, name)) for name in ("ada", "bob"))
        async with opened(server, ada) as stream:
            await stream.send({"type": "auth", "token": bob})
            assert (await stream.until("error"))["code"] == "forbidden"
            await stream.until("ticker")


# --- how it ends ---


async def test_a_close_frame_is_answered(launched: Server) -> None:
    async with greeted(launched) as stream:
        await stream.stream.send_all(client_frame(CLOSE, (1000).to_bytes(2, "big")))
        assert await stream.closed() == 1000


async def test_a_message_over_4_kib_ends_with_1009(launched: Server) -> None:
    async with greeted(launched) as stream:
        await stream.send('{"type":"ping"}'.ljust(limits.MESSAGE_BYTES))
        await stream.until("pong")
        await stream.send('{"type":"ping"}'.ljust(limits.MESSAGE_BYTES + 1))
        assert await stream.closed() == 1009


@pytest.mark.parametrize("kind", ["fragments", "two-byte characters", "binary"])
async def test_size_is_counted_in_bytes_of_the_whole_message(server: Server, kind: str) -> None:
    async with greeted(server) as stream:
        if kind == "fragments":
            half = b"x" * (limits.MESSAGE_BYTES // 2 + 1)
            frames = client_frame(TEXT, half, fin=False) + client_frame(CONTINUATION, half)
        elif kind == "binary":
            frames = client_frame(BINARY, b"x" * (limits.MESSAGE_BYTES + 1))
        else:
            frames = client_frame(TEXT, "\u00e9" * (limits.MESSAGE_BYTES // 2 + 1))
        await stream.stream.send_all(frames)
        assert await stream.closed() == 1009


async def test_five_bad_messages_end_with_4000(launched: Server) -> None:
    async with greeted(launched) as stream:
        for _ in range(limits.BAD_MESSAGES):
            await stream.send("nonsense")
        for _ in range(limits.BAD_MESSAGES):
            assert (await stream.until("error"))["code"] == "bad_message"
        assert await stream.closed() == 4000


async def test_unknown_symbols_are_no_bad_messages(server: Server) -> None:
    async with greeted(server) as stream:
        for number in range(2 * limits.BAD_MESSAGES):
            await stream.send({"type": "subscribe", "symbols": ["DOGE-USD"], "id": number})
            assert (await stream.until("error"))["id"] == number


async def test_too_many_messages_end_with_4029(launched: Server) -> None:
    async with greeted(launched) as stream:
        await stream.stream.send_all(client_frame(TEXT, '{"type":"ping"}') * 100)
        pongs = 0
        with trio.fail_after(5):
            while (frame := await stream.frame()) is not None and frame.opcode != CLOSE:
                pongs += frame.message["type"] == "pong"
        assert frame is not None
        assert frame.code == 4029
        assert limits.MESSAGES_BURST <= pongs <= limits.MESSAGES_BURST + 20
        await stream.stream.send_all(client_frame(CLOSE, frame.payload[:2]))
        assert await stream.frame() is None


@pytest.mark.parametrize("opcode", [PING, CONTINUATION])
async def test_too_many_frames_of_any_kind_end_with_4029(server: Server, opcode: int) -> None:
    async with greeted(server) as stream:
        flood = client_frame(opcode, fin=opcode == PING) * 1000
        if opcode == CONTINUATION:
            flood = client_frame(TEXT, fin=False) + flood
        await stream.stream.send_all(flood)
        with trio.fail_after(5):
            while (frame := await stream.frame()) is not None and frame.opcode != CLOSE:
                pass
        assert frame is not None
        assert frame.code == 4029


@pytest.mark.parametrize(
    ("nonsense", "code"),
    [
        pytest.param(b"\x81\x02{}", 1002, id="not masked"),
        pytest.param(b"\xf1\x80abcd", 1002, id="reserved bits"),
        pytest.param(b"\x83\x80abcd", 1002, id="a reserved opcode"),
        pytest.param(client_frame(TEXT, b"\xff\xfe"), 1007, id="not UTF-8"),
        pytest.param(client_frame(CONTINUATION, b"x"), 1002, id="a continuation of nothing"),
        pytest.param(client_frame(PING, b"x" * 126), 1002, id="a long ping"),
        pytest.param(client_frame(PING, fin=False), 1002, id="a fragmented ping"),
        pytest.param(client_frame(CLOSE, b"\x03"), 1002, id="half a close code"),
    ],
)
async def test_what_is_no_websocket_ends_that_connection_at_once(
    server: Server, nonsense: bytes, code: int
) -> None:
    name = f'ticker_streams_closed_total{{code="{code}"}}'
    before = server.metrics().get(name, 0)
    async with greeted(server) as stream:
        await stream.stream.send_all(nonsense)
        assert await stream.closed(2) == code
    await eventually(lambda: server.metrics().get(name) == before + 1, f"one more {name}")
    assert server.events("connection_crashed") == []


async def test_an_expired_token_ends_with_4001(tmp_path: Path) -> None:
    async with _started(tmp_path, TICKER_TOKEN_TTL="2s") as server, trio.open_nursery() as nursery:

        async def renewing() -> None:
            async with opened(server, server.new_token()) as stream:
                for _ in range(3):
                    deadline = trio.current_time() + 1.2
                    while trio.current_time() < deadline:
                        await stream.until("ticker")
                    await stream.send({"type": "auth", "token": server.new_token()})
                    await stream.until("authenticated")

        nursery.start_soon(renewing)
        began = trio.current_time()
        token = server.new_token()
        issued = trio.current_time()
        async with opened(server, token) as stream:
            assert (await stream.message())["expires_in"] == 2
            assert await stream.closed() == 4001
            assert trio.current_time() - began >= 1.5
            assert trio.current_time() - issued <= 4


@pytest.mark.parametrize("what", ["tokens", "keys"])
async def test_a_revocation_ends_streams_with_4001_within_a_second(
    tmp_path: Path, what: str
) -> None:
    async with _started(tmp_path) as server:
        key, other = create_key(server, "ada"), create_key(server, "bob")
        async with (
            opened(server, server.new_token(key)) as stream,
            opened(server, server.new_token(other)) as bystander,
        ):
            await stream.until("ticker")
            name = key_id(key)
            if what == "tokens":
                listed = json.loads(ticker(server.data_dir, "tokens", "list", "--json").stdout)
                (name,) = (entry["id"] for entry in listed if entry["user_id"] == "user:ada")
            result = await trio.to_thread.run_sync(ticker, server.data_dir, what, "revoke", name)
            assert result.returncode == 0
            revoked = trio.current_time()
            assert await stream.closed() == 4001
            assert trio.current_time() - revoked <= 1.5
            for _ in range(20):
                await bystander.until("ticker")


async def test_a_crash_of_the_source_is_told_and_no_client_is_lost(tmp_path: Path) -> None:
    env = {**ENVIRONMENT, "TICKER_RESTART_INITIAL": "700ms"}
    with started("serve", tmp_path / "data", env=env, command=SERVE) as server:
        async with greeted(server) as one, greeted(server) as two:
            assert server.request("GET", "/readyz")[0] == 200
            break_part(server, "source")
            for stream in (one, two):
                status = await stream.until("status")
                assert (status["state"], status["source"]) == ("stale", "simulated")
                assert status["since"] == pytest.approx(time.time() * 1000, abs=5000)
            ready, _, body = server.request("GET", "/readyz")
            assert ready == 503
            assert "simulated" in json.loads(body)["error"]
            assert server.metrics()['ticker_source_up{source="simulated"}'] == 0
            async with opened(server) as late:
                assert (await late.message())["type"] == "welcome"
                assert (await late.message())["state"] == "stale"
            last = 0
            for stream in (one, two):
                assert (await stream.until("status"))["state"] == "live"
                seqs = [(await stream.until("ticker"))["seq"] for _ in range(20)]
                assert seqs == sorted(set(seqs))
                last = max(last, *seqs)
            assert server.request("GET", "/readyz")[0] == 200
            server.wait_metric('ticker_source_up{source="simulated"}', 1)
            server.wait_metric("ticker_streams_open", 2)
            assert server.metrics()['ticker_source_restarts_total{source="simulated"}'] == 1
        assert len(server.events("source_crashed")) == 1


def test_websockets_learns_the_close_code(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data", env={"TICKER_TOKEN_TTL": "1s"}) as server:
        headers = {"Authorization": f"Bearer {server.token()}"}
        with (
            websockets.sync.client.connect(server.ws_url, additional_headers=headers) as websocket,
            pytest.raises(websockets.exceptions.ConnectionClosedError) as caught,
        ):
            deque(websocket, maxlen=0)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4001
        assert "expired" in caught.value.rcvd.reason
