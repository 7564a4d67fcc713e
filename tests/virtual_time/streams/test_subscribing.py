"""What a subscription costs is paid for: by waiting, or by a lower rate, and never by others."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock

from tests.support.inmemory import World
from ticker import limits


async def test_who_subscribes_again_and_again_waits_for_what_it_costs(
    autojump_clock: MockClock, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SUBSCRIBED_PER_SECOND", 10)
    monkeypatch.setattr(limits, "SUBSCRIBED_AT_ONCE", 10)
    async with running.client() as client:
        count = len((await client.message())["symbols"])
        began = trio.current_time()
        for number in range(8):
            client.send({"type": "subscribe", "id": number})
        for _ in range(8):
            await client.until("subscribed")
        took = trio.current_time() - began
        assert took == pytest.approx((8 * count - 10) / 10, abs=0.1)
        # It goes on getting its ticks meanwhile, and is not sent away.
        assert (await client.until("ticker"))["seq"] > 0


async def test_a_key_with_many_sets_of_its_own_gets_further_ones_less_often_and_is_told(
    autojump_clock: MockClock, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OWN_SYMBOLS", 2)
    async with AsyncExitStack() as stack:
        told = []
        for _ in range(5):
            client = await stack.enter_async_context(running.client())
            client.send({"type": "subscribe", "symbols": ["BTC-USD"]})
            told.append((await client.until("subscribed"))["interval_ms"])
        assert told == [10, 10, 20, 20, 30]
        # What all have costs nothing more, and what has ended counts no longer.
        client.send({"type": "subscribe", "id": 2})
        assert (await client.until("subscribed"))["interval_ms"] == 10
    async with running.client() as client:
        client.send({"type": "subscribe", "symbols": ["BTC-USD"]})
        assert (await client.until("subscribed"))["interval_ms"] == 10
    assert not running.service.router.streams.context.own_sets._held
