"""Who asks for a past that is still being read waits for the symbols asked for, and no others."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from ticker.market.unread import Unread


async def test_a_past_is_waited_for_until_its_symbols_are_read_or_cannot_be() -> None:
    unread, came = Unread(), list[str]()
    unread.begin(["A-USD", "B-USD", "C-USD"])

    async def ask(*symbols: str) -> None:
        await unread.wait(symbols)
        came.append("".join(symbol[0] for symbol in symbols))

    async with trio.open_nursery() as nursery:
        for symbols in (["A-USD"], ["B-USD", "A-USD"], ["C-USD"], ["D-USD"]):
            nursery.start_soon(ask, *symbols)
        await wait_all_tasks_blocked()
        assert came == ["D"]
        unread.end("A-USD")
        await wait_all_tasks_blocked()
        assert came == ["D", "A"]
        unread.end("B-USD")
        await wait_all_tasks_blocked()
        assert came == ["D", "A", "BA"]
        unread.end_all()
    assert came == ["D", "A", "BA", "C"]
