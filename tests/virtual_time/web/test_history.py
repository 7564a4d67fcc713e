"""A history is told in full or not at all: it waits, for a bounded time, for what a start reads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from ticker import limits
from ticker.market.book import Book
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
