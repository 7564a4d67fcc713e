"""The broadcast and what waits for its ticks."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.support.inmemory import World
from ticker.market.broadcast import TickSignal
from ticker.market.sources import load_source
from ticker.market.sources.spec import SourceSpec
from ticker.settings.model import Settings


async def test_a_made_up_market_moves_at_each_tick_from_the_first(
    autojump_clock: MockClock,
) -> None:
    for _ in range(20):  # which task runs first is chance
        world = World(
            Settings(source=(SourceSpec("simulated:seed=7"),), tick=0.05), load=load_source
        )
        prices = []
        async with trio.open_nursery() as nursery:
            await nursery.start(world.engine.run)
            for _ in range(6):
                await trio.sleep(0.025)  # between two ticks
                prices.append(world.market.hub.published.quotes[0])
                await trio.sleep(0.025)
            nursery.cancel_scope.cancel()
        assert None not in prices
        assert len({quote.price for quote in prices if quote}) == 6


async def test_a_turn_that_is_over_before_it_is_waited_for_is_told(
    autojump_clock: MockClock,
) -> None:
    ticked = TickSignal()
    one, other = ticked.follower(), ticked.follower()
    ticked.turn_over()
    with trio.fail_after(1):
        await one()
        await other()
    with trio.move_on_after(1) as scope:
        await one()
    assert scope.cancelled_caught
    for _ in range(3):
        ticked.turn_over()
    with trio.move_on_after(1) as scope:  # a source that has paused begins anew
        await one()
    assert scope.cancelled_caught
