"""Sessions in virtual time: greeting, subscribing, falling behind, and every way out."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from tests.support.frames import CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame
from tests.support.inmemory import Client, World
from tests.support.made_up import SYMBOLS, grant, quotes
from tests.support.waiting import eventually
from ticker import limits
from ticker.protocol.close_codes import CloseCode
from ticker.security.authority import DatabaseUnavailableError


def nothing_is_left(world: World) -> None:
    statistics = world.engine.statistics()
    assert statistics.sessions == 0
    assert statistics.hub.subscriptions == 0
    assert statistics.hub.topics == 0
    assert statistics.hub.behind == 0


async def test_a_subscriber_is_greeted_and_gets_every_tick_on_the_grid(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        welcome = await client.message()
        assert (welcome["type"], welcome["user_id"]) == ("welcome", "user:ada")
        assert (await client.message())["snapshot"] is True
        times, seqs = [], []
        for _ in range(50):
            seqs.append((await client.message())["seq"])
            times.append(trio.current_time())
        assert seqs == list(range(seqs[0], seqs[0] + 50))
        assert [later - times[0] for later in times] == pytest.approx(
            [0.01 * number for number in range(50)]
        )
    nothing_is_left(running)


async def test_who_cannot_keep_up_gets_the_newest_and_not_what_was_missed(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client, running.client() as quick:
        last = (await client.until("ticker"))["seq"]
        client.stream.full = True
        await trio.sleep(0.5)
        running.source.put.send_nowait(quotes(777, 7))
        await trio.sleep(0.5)
        assert running.engine.statistics().hub.behind == 1
        assert {frame.message["seq"] for frame in client.arrived()} <= {last, last + 1}
        client.stream.read_again()
        snapshot = await client.message()
        assert snapshot["snapshot"] is True
        assert snapshot["seq"] == running.market.hub.published.seq >= last + 99
        assert snapshot["data"][0]["price"] == 777
        following = [await client.message() for _ in range(5)]
        assert [tick["seq"] for tick in following] == [snapshot["seq"] + n for n in range(1, 6)]
        assert all("snapshot" not in tick for tick in following)
        assert running.engine.statistics().hub.behind == 0
        seqs = [frame.message["seq"] for frame in quick.arrived()[2:]]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    nothing_is_left(running)


async def test_status_reaches_who_was_behind_when_it_changed(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await client.until("ticker")
        client.stream.full = True
        await trio.sleep(0.1)
        running.source.put.send_nowait(RuntimeError("crash"))
        await trio.sleep(0.1)
        client.arrived()
        client.stream.read_again()
        await trio.sleep(0.05)
        kinds = [frame.message["type"] for frame in client.arrived()]
        assert kinds.count("status") == 1
        assert kinds.count("ticker") == 1
        assert (await client.until("status"))["state"] == "live"


async def test_no_tick_of_the_old_subscription_follows_the_answer(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await client.until("ticker")
        for number in range(30):
            symbol = SYMBOLS[number % 2]
            await trio.sleep(0.0037 * number)
            client.send({"type": "subscribe", "symbols": [symbol], "id": number})
            assert (await client.until("subscribed"))["id"] == number
            first = await client.message()
            assert (first["type"], first["snapshot"]) == ("ticker", True)
            assert [entry["symbol"] for entry in first["data"]] == [symbol]
            second = await client.message()
            assert [entry["symbol"] for entry in second["data"]] == [symbol]
            assert second["seq"] > first["seq"]
            client.send({"type": "unsubscribe", "id": number})
            await client.until("unsubscribed")
            assert running.engine.statistics().hub.subscriptions == 0
        await trio.sleep(1)
        assert client.arrived() == []


async def test_an_unsubscribed_stream_that_falls_behind_gets_nothing_late(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await client.until("ticker")
        client.stream.full = True
        await trio.sleep(0.1)
        client.send({"type": "unsubscribe"})
        await trio.sleep(0.1)
        client.arrived()
        client.stream.read_again()
        await trio.sleep(0.1)
        frames = [frame.message for frame in client.arrived()]
        kinds = [message["type"] for message in frames]
        assert kinds[-1] == "unsubscribed"
        assert running.engine.statistics().hub.behind == 0


def crash(world: World, client: Client) -> None:
    world.authority.fault = ZeroDivisionError()
    client.send({"type": "auth", "token": "t"})


def misbehave(_world: World, client: Client) -> None:
    for _ in range(limits.BAD_MESSAGES):
        client.send("nonsense")


def vanish(_world: World, client: Client) -> None:
    client.stream.broken = True


#: Every way out, with the close code that is counted for it.
WAYS_OUT: dict[str, tuple[Callable[[World, Client], None], int]] = {
    "eof": (lambda _world, client: client.stream.from_client.close(), 1006),
    "close": (lambda _world, client: client.raw(client_frame(CLOSE, b"\x03\xe8")), 1000),
    "nonsense": (lambda _world, client: client.raw(b"\xff\xff"), 1002),
    "broken": (vanish, 1006),
    "revoked": (lambda world, _client: world.authority.ended({"token"}), 4001),
    "cut": (lambda _world, client: client.stream.abort(), 1006),
    "crash": (crash, 1011),
    "bad": (misbehave, 4000),
}


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("behind", [False, True], ids=["keeping up", "behind"])
async def test_every_way_out_unsubscribes_at_once(
    autojump_clock: MockClock, running: World, way: str, *, behind: bool
) -> None:
    async with running.client() as bystander:
        async with running.client() as client:
            await client.until("ticker")
            if behind:
                client.stream.full = True
                await trio.sleep(0.1)
                assert running.engine.statistics().hub.behind == 1
                client.stream.read_again()
            leave, code = WAYS_OUT[way]
            leave(running, client)
            await eventually(
                lambda: running.engine.statistics().hub.subscriptions <= 1, "its end", seconds=3
            )
            if way != "broken":
                with trio.move_on_after(3):
                    while await client.frame() is not None:
                        pass
        # A revocation is for every stream of the token; otherwise no other suffers.
        if way != "revoked":
            await bystander.until("ticker")
        assert client.code == code
    nothing_is_left(running)


async def test_cancelling_the_connection_unsubscribes(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await client.until("ticker")
        client.connection.cancel()
        while await client.frame() is not None:
            pass
    nothing_is_left(running)


async def test_a_fault_of_ours_ends_one_stream_with_1011(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client, running.client() as bystander:
        running.authority.fault = ZeroDivisionError()
        client.send({"type": "auth", "token": "t"})
        assert await client.closed() == 1011
        bystander.send({"type": "ping"})
        assert await bystander.until("pong")


async def test_a_database_that_is_away_is_told_and_the_stream_goes_on(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        running.authority.fault = DatabaseUnavailableError("slow", "x")
        client.send({"type": "auth", "token": "t", "id": 9})
        error = await client.until("error")
        assert (error["code"], error["id"]) == ("unavailable", 9)
        await client.until("ticker")


async def test_a_grant_revoked_during_the_handshake_never_begins(
    autojump_clock: MockClock, running: World
) -> None:
    running.authority.revoke("token")
    async with running.client() as client:
        assert await client.closed() == 4001
    nothing_is_left(running)


async def test_silence_is_pinged_after_15_seconds_and_ends_with_4101_after_25(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        began = trio.current_time()
        pings = []
        while (frame := await client.frame()) is not None and frame.opcode != CLOSE:
            if frame.opcode == PING:
                pings.append(trio.current_time() - began)
        assert frame is not None
        assert frame.code == 4101
        took = trio.current_time() - began
        assert len(pings) == 1
        assert limits.PING_AFTER_SECONDS <= pings[0] <= limits.PING_AFTER_SECONDS + 1
        assert limits.SILENT_SECONDS - 1 <= took <= limits.SILENT_SECONDS
        client.raw(client_frame(CLOSE, frame.payload[:2]))
    assert client.code == CloseCode.SILENT


@pytest.mark.parametrize(
    "sign",
    [client_frame(PONG), client_frame(TEXT, '{"type":"ping"}'), b"\x81"],
    ids=["pong", "message", "byte"],
)
async def test_any_byte_is_a_sign_of_life(
    autojump_clock: MockClock, running: World, sign: bytes
) -> None:
    async with running.client() as client:
        await trio.sleep(24)
        client.raw(sign)
        await trio.sleep(24)
        assert all(frame.opcode != CLOSE for frame in client.arrived())
        assert client.code is None


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_token_expires_by_the_monotonic_clock(
    autojump_clock: MockClock, running: World, jump: float
) -> None:
    async with running.client(grant(seconds=20)) as client:
        began = trio.current_time()
        await client.until("ticker")
        running.wall_offset = jump
        answered = client.closed()
        client.send({"type": "ping"})
        assert await answered == 4001
        assert 19.9 <= trio.current_time() - began <= 20 + 2 * limits.WATCH_SECONDS


async def test_a_renewed_token_moves_the_end(autojump_clock: MockClock, running: World) -> None:
    running.authority.grants["new"] = grant("new", seconds=60)
    async with running.client(grant(seconds=20)) as client:
        began = trio.current_time()
        await trio.sleep(15)
        client.send({"type": "auth", "token": "new", "id": 1})
        answer = await client.until("authenticated")
        assert answer["expires_in"] == 45
        for _ in range(4):
            await trio.sleep(10)
            client.send({"type": "ping"})
        assert await client.closed() == 4001
        assert 59.9 <= trio.current_time() - began <= 61


async def test_a_token_of_another_user_does_not_renew(
    autojump_clock: MockClock, running: World
) -> None:
    running.authority.grants["bobs"] = grant("bobs", user="bob")
    async with running.client() as client:
        client.send({"type": "auth", "token": "bobs"})
        assert (await client.until("error"))["code"] == "forbidden"
        client.send({"type": "auth", "token": "of-none"})
        assert (await client.until("error"))["code"] == "invalid_token"
        await client.until("ticker")


async def test_five_bad_messages_within_ten_seconds_end_with_4000(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        for number in range(12):
            client.send("nonsense")
            assert (await client.until("error"))["code"] == "bad_message"
            await trio.sleep(limits.BAD_MESSAGES_SECONDS / 4 + 0.1)
            assert client.code is None, number
        await trio.sleep(10)
        for _ in range(5):
            client.send("nonsense")
        assert await client.closed() == 4000


async def test_twenty_messages_a_second_may_go_on_for_ever_and_a_burst_of_forty(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        for _ in range(limits.MESSAGES_BURST):
            client.send({"type": "ping"})
        for _ in range(limits.MESSAGES_PER_SECOND * 20):
            await trio.sleep(1.0001 / limits.MESSAGES_PER_SECOND)
            client.send({"type": "ping"})
        await trio.sleep(0.1)
        frames = client.arrived()
        assert sum(frame.message["type"] == "pong" for frame in frames) == 440
        for _ in range(limits.MESSAGES_BURST + 5):
            client.send({"type": "ping"})
        assert await client.closed() == 4029


async def test_a_flood_of_frames_that_never_become_messages_ends_with_4029(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        client.raw(client_frame(TEXT, fin=False))
        for _ in range(limits.FRAMES_BURST + 5):
            client.raw(client_frame(CONTINUATION, fin=False))
        assert await client.closed() == 4029


async def test_a_closing_that_was_read_before_ours_was_sent_is_the_answer(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await client.until("ticker")
        began = trio.current_time()
        closing = client_frame(CLOSE, (1000).to_bytes(2, "big"))
        client.raw(client_frame(TEXT, "nonsense") * limits.BAD_MESSAGES + closing)
        while (await client.frame()) is not None:
            pass
        assert trio.current_time() - began < limits.CLOSE_SECONDS / 2
    assert client.code == 4000


async def test_a_peer_that_never_answers_the_close_is_given_a_second(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await client.until("ticker")
        began = trio.current_time()
        running.authority.ended({"token"})
        while (await client.frame()) is not None:
            pass
        assert trio.current_time() - began <= 2 * limits.CLOSE_SECONDS
    assert client.code == 4001
