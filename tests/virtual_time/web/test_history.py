"""A history is told in full or not at all: it waits, for a bounded time, for what a start reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import MINUTE
from ticker.market.shown_bars import ShownBar
from ticker.web import history


@pytest.mark.parametrize(("after", "told"), [(1.0, True), (limits.HISTORY_WAIT_SECONDS + 1, False)])
async def test_a_history_waits_for_what_is_not_read_yet_and_then_asks_to_come_back(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    after: float,
    told: bool,  # noqa: FBT001 - a parameter
) -> None:
    book = Book(("A-USD", "B-USD"))
    market = SimpleNamespace(book=book)
    monkeypatch.setattr(history, "running", lambda: SimpleNamespace(market=market))
    assert await history._is_read(["A-USD"])
    book.unread.begin(["B-USD"])
    assert await history._is_read(["A-USD"])
    assert autojump_clock.current_time() == 0

    async def read() -> None:
        await trio.sleep(after)
        book.unread.end("B-USD")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        assert await history._is_read(["A-USD", "B-USD"]) is told
        assert autojump_clock.current_time() == min(after, limits.HISTORY_WAIT_SECONDS)


async def test_a_large_history_is_written_with_turns_for_others_and_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    symbols, minutes = [f"S{number}-USD" for number in range(250)], 60
    book = Book(symbols)
    for symbol in symbols:
        for minute in range(minutes):
            book.candles(symbol).add(minute * MINUTE.ms, Decimal(minute + 1))
    market = SimpleNamespace(book=book, wall_ms=lambda: minutes * MINUTE.ms)
    monkeypatch.setattr(history, "running", lambda: SimpleNamespace(market=market))
    bars, since, most = history._bars, 0, 0

    def counted(symbol: str, query: history.HistoryQuery) -> Iterator[ShownBar]:
        nonlocal since
        for bar in bars(symbol, query):
            since += 1
            yield bar

    class Steps(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's
            nonlocal since, most
            most, since = max(most, since), 0

    monkeypatch.setattr(history, "_bars", counted)
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    written = await history._written(symbols, history.HistoryQuery.read({"step": "1m"}))
    await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(steps)
    assert 0 < most <= limits.HISTORY_SLICE_BARS
    for symbol in symbols:
        closes = [bar[4] for bar in json.loads(written[symbol].bars)]
        assert closes == [*range(1, minutes + 1)]
