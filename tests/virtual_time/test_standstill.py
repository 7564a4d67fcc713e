"""The market says that it stands still, and only then."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from unittest.mock import patch

import trio
from trio.testing import MockClock

from tests.support.inmemory import World
from ticker import limits


async def test_a_market_whose_tick_hangs_stands_still_after_some_seconds(
    autojump_clock: MockClock, running: World
) -> None:
    await trio.sleep(60)
    assert not running.engine.stands_still()

    async def hang(*_args: object) -> None:
        await trio.sleep_forever()

    with patch.object(running.market.hub, "publish", hang):
        await trio.sleep(limits.STANDSTILL_SECONDS - 0.1)
        assert not running.engine.stands_still()
        await trio.sleep(0.2)
        assert running.engine.stands_still()


async def test_a_market_without_a_live_source_does_not_stand_still(
    autojump_clock: MockClock, running: World
) -> None:
    running.source.put.send_nowait(RuntimeError("crash"))
    await trio.sleep(60)
    assert not running.engine.stands_still()
