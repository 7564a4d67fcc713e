"""Sessions in the modes `changes` and `every`, and what they are resumed from."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.support.inmemory import Client, World, world
from tests.support.made_up import SYMBOLS, quotes
from tests.support.mirror import Mirror
from ticker import limits
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.requests import Resume, Subscribe
from ticker.security.policy import Limits, PolicySet, Role


async def subscribed(client: Client, **fields: Any) -> dict[str, Any]:
    """Subscribe and return the answer."""
    await client.until("ticker")
    client.send({"type": "subscribe", "id": 7, **fields})
    answer = await client.until("subscribed")
    assert answer["id"] == 7
    return answer


def tickers(client: Client) -> list[dict[str, Any]]:
    """Return the ticker messages that have come."""
    messages = (frame.message for frame in client.arrived())
    return [message for message in messages if message["type"] == "ticker"]


async def test_the_first_messages_tell_the_epoch_and_the_seq(
    autojump_clock: MockClock, running: World
) -> None:
    await trio.sleep(0.1)
    async with running.client() as client:
        welcome, snapshot = await client.message(), await client.message()
        published = running.market.hub.published
        assert (welcome["epoch"], welcome["seq"]) == (published.epoch, snapshot["seq"])
        answer = await subscribed(client)
        assert answer.keys() == {
            "type", "id", "symbols", "interval_ms", "mode", "detail", "epoch", "seq"
        }  # fmt: skip
        assert (answer["mode"], answer["detail"]) == ("latest", "price")
        assert answer["epoch"] == published.epoch


@pytest.mark.parametrize("mode", ["changes", "every"])
async def test_only_what_changed_is_sent_and_a_quiet_market_is_told_each_second(
    autojump_clock: MockClock, running: World, mode: str
) -> None:
    async with running.client() as client:
        answer = await subscribed(client, mode=mode)
        assert (answer["mode"], answer["interval_ms"]) == (mode, 10)
        mirror = Mirror()
        mirror.apply(await client.message())
        assert mirror.frames[0]["snapshot"] is True
        running.source.put.send_nowait(quotes(500, 10))
        await trio.sleep(0.05)
        (changed,) = tickers(client)
        mirror.apply(changed)
        assert [entry["symbol"] for entry in changed["data"]] == ["BTC-USD"]
        await trio.sleep(10)
        mirror.apply_all(quiet := tickers(client))
        assert len(quiet) == 10
        assert all(frame["data"] == [] for frame in quiet)
        running.source.put.send_nowait(RuntimeError("crash"))
        await trio.sleep(0.2)
        stale = running.market.hub.published.seq
        mirror.apply_all(tickers(client))
        running.source.put.send_nowait(RuntimeError("crash again"))
        await trio.sleep(5)
        mirror.apply_all(quiet := tickers(client))
        assert len(quiet) >= 4
        assert stale


async def test_a_subscriber_of_changes_that_was_behind_gets_one_frame_for_all_it_missed(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await subscribed(client, mode="changes")
        mirror = Mirror()
        mirror.apply(await client.message())
        client.stream.full = True
        for price in range(200, 210):
            running.source.put.send_nowait(quotes(price, 10))
            await trio.sleep(0.05)
        client.stream.read_again()
        await trio.sleep(0.05)
        (frame,) = tickers(client)
        mirror.apply(frame)
        assert [entry["price"] for entry in frame["data"]] == [209]


async def test_a_subscriber_of_every_gets_each_tick_late_but_in_order(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await subscribed(client, mode="every")
        mirror = Mirror()
        mirror.apply(await client.message())
        client.stream.full = True
        for price in range(200, 250):
            running.source.put.send_nowait(quotes(price, 10))
            await trio.sleep(0.02)
        assert tickers(client) == []
        client.stream.read_again()
        await trio.sleep(0.05)
        mirror.apply_all(tickers(client))
        prices = [entry["price"] for frame in mirror.frames[1:] for entry in frame["data"]]
        assert prices == list(range(200, 250))


async def test_a_subscriber_of_every_that_is_too_slow_is_closed_with_4102(
    autojump_clock: MockClock, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EVERY_TICKS", 5)
    async with running.client() as client:
        await subscribed(client, mode="every")
        client.stream.full = True
        for price in range(200, 220):
            running.source.put.send_nowait(quotes(price, 10))
            await trio.sleep(0.02)
        client.stream.read_again()
        assert await client.closed() == CloseCode.TOO_SLOW
    assert running.engine.statistics().hub.subscriptions == 0


async def test_a_slow_reader_of_every_hears_why_it_ends_once_it_reads_again(
    autojump_clock: MockClock, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EVERY_TICKS", 5)
    async with running.client() as client:
        await subscribed(client, mode="every")
        client.stream.full = True
        for price in range(200, 220):
            running.source.put.send_nowait(quotes(price, 10))
            await trio.sleep(0.02)
        await trio.sleep(limits.CLOSE_SECONDS + 1)
        client.stream.read_again()
        assert await client.closed() == CloseCode.TOO_SLOW


async def test_no_tick_of_every_follows_the_answer_that_ends_it(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        await subscribed(client, mode="every")
        for number in range(40):
            for price in range(4):
                running.source.put.send_nowait(quotes(1000 + 10 * number + price, 10))
                await trio.sleep(0.011)
            client.stream.full = number % 2 == 0
            symbol = SYMBOLS[number % 2]
            client.send({"type": "subscribe", "symbols": [symbol], "mode": "every", "id": number})
            await trio.sleep(0.013 * (number % 3))
            client.stream.read_again()
            while (await client.until("subscribed"))["id"] != number:
                pass
            first = await client.message()
            assert first["snapshot"] is True
            assert [entry["symbol"] for entry in first["data"]] == [symbol]


@pytest.mark.parametrize("mode", ["changes", "every"])
async def test_a_stream_goes_on_after_the_frame_that_a_client_has(
    autojump_clock: MockClock, running: World, mode: str
) -> None:
    async with running.client() as client:
        answer = await subscribed(client, mode=mode)
        mirror = Mirror()
        mirror.apply(await client.message())
    for price in (300, 301, 302):
        running.source.put.send_nowait(quotes(price, 10))
        await trio.sleep(0.05)
    resume = Resume(answer["epoch"], mirror.seq or 0)
    asked = Subscribe(mode=mode, resume=resume)  # type: ignore[arg-type]
    async with running.client(asked=asked) as client:
        assert (await client.message())["type"] == "welcome"
        answer = await client.message()
        assert (answer["type"], answer["resumed"]) == ("subscribed", True)
        mirror.apply(await client.message())
        await trio.sleep(0.05)
        mirror.apply_all(tickers(client))
        prices = [entry["price"] for frame in mirror.frames[1:] for entry in frame["data"]]
        assert prices == ([300, 301, 302] if mode == "every" else [302])
        resume_elsewhere = {"epoch": "another", "seq": mirror.seq}
        answer = await subscribed_now(client, mode=mode, resume=resume_elsewhere)
        assert answer["resumed"] is False
        assert (await client.message())["snapshot"] is True


async def subscribed_now(client: Client, **fields: Any) -> dict[str, Any]:
    """Subscribe and return the answer, whatever comes before it."""
    client.send({"type": "subscribe", **fields})
    return await client.until("subscribed")


async def test_a_subscription_of_the_handshake_begins_without_all_the_rest(
    autojump_clock: MockClock, running: World
) -> None:
    asked = Subscribe(["ETH-USD"], 100, "changes")
    async with running.client(asked=asked) as client:
        welcome, answer = await client.message(), await client.message()
        assert welcome["symbols"] == list(SYMBOLS)
        assert (answer["symbols"], answer["interval_ms"]) == (["ETH-USD"], 100)
        assert "id" not in answer
        assert "resumed" not in answer
        snapshot = await client.message()
        assert [entry["symbol"] for entry in snapshot["data"]] == ["ETH-USD"]


async def test_a_role_that_may_not_have_each_tick_may_not_have_every(
    autojump_clock: MockClock,
) -> None:
    default = PolicySet.default().roles["user"]
    slow = PolicySet({"user": Role("user", default.policies, Limits(fastest_interval_ms=20))})
    async with world(policies=slow) as running, running.client() as client:
        await client.until("ticker")
        client.send({"type": "subscribe", "mode": "every", "id": 1})
        refused = await client.until("error")
        assert (refused["id"], refused["code"]) == (1, "forbidden")
        client.send({"type": "subscribe", "mode": "changes", "id": 2})
        assert (await client.until("subscribed"))["interval_ms"] == 20


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "all"},
        {"detail": "much"},
        {"mode": "every", "interval_ms": 10},
        {"resume": {"epoch": "e"}},
        {"resume": {"epoch": "", "seq": 1}},
        {"resume": {"epoch": "e", "seq": -1}},
        {"resume": {"epoch": "e", "seq": 1, "more": 1}},
        {"resume": {"epoch": "e" * 65, "seq": 1}},
        {"resume": {"epoch": "e", "seq": 2**54}},
        {"resume": "e:1"},
    ],
    ids=str,
)
async def test_a_field_that_cannot_be_is_a_bad_message(
    autojump_clock: MockClock, running: World, fields: dict[str, Any]
) -> None:
    async with running.client() as client:
        client.send({"type": "subscribe", "id": 3, **fields})
        error = await client.until("error")
        assert (error["id"], error["code"]) == (3, "bad_message")
