"""When the past is written, and how much of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count

import pytest
import trio
from trio.testing import MockClock

from ticker import limits
from ticker.market.book import Book
from ticker.market.quote import Quote
from ticker.storage import history_keeper, history_loader
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_store import Changes

SYMBOLS = tuple(f"A{n}-USD" for n in range(100))


class SlowStore:
    """Takes what is written, and says how long that took."""

    place = "memory"

    def __init__(self, seconds: Iterator[float]) -> None:
        self.seconds = seconds
        self.began: list[float] = []
        self.written: list[int] = []

    def symbols(self) -> list[str]:
        return []

    def blocks(self, _symbol: str) -> list[object]:
        return []

    def journal(self, _after: int = 0) -> list[object]:
        return []

    def write(self, changes: Changes) -> int:
        self.written.append(len({block.symbol for block in changes.blocks}))
        return len(self.written)

    def tidy(self) -> None:
        raise AssertionError("not asked for here")

    def close(self) -> None:
        pass


async def kept(store: SlowStore, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Keep the past of prices that come all the time, for so many seconds."""

    async def in_virtual_thread(
        _limiter: trio.CapacityLimiter, work: Callable[..., object], *args: object
    ) -> object:
        if getattr(work, "__name__", "") == "_write":
            store.began.append(trio.current_time())
            await trio.sleep(next(store.seconds))
        return work(*args)

    monkeypatch.setattr(history_keeper, "in_thread", in_virtual_thread)
    monkeypatch.setattr(history_loader, "in_thread", in_virtual_thread)
    monkeypatch.setattr(limits, "HISTORY_TIDY_SECONDS", 1e9)
    book = Book(SYMBOLS)

    def wall_ms() -> int:
        return int((1_790_000_000 + trio.current_time()) * 1000)

    keeper = HistoryKeeper(book, store, wall_ms=wall_ms, feeds=lambda: True)  # type: ignore[arg-type]  # what of it is used
    await keeper.load()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        for number in count(1):
            now = wall_ms()
            book.apply(Quote(each, Decimal(number), now, now, "x") for each in SYMBOLS)
            await trio.sleep(0.1)
            if trio.current_time() >= seconds:
                break
        nursery.cancel_scope.cancel()


async def test_a_writing_begins_each_second_however_long_the_one_before_took(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    del autojump_clock
    slow = SlowStore(0.9 if n % 2 else 0.01 for n in count())
    await kept(slow, monkeypatch, 20.05)
    assert [round(at, 3) for at in slow.began[:20]] == list(range(1, 21))


async def test_a_writing_that_took_too_long_is_followed_by_the_next_at_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    del autojump_clock
    slow = SlowStore(1.6 if n == 2 else 0.01 for n in count())
    await kept(slow, monkeypatch, 8.0)
    assert [round(at, 2) for at in slow.began[:6]] == [1.0, 2.0, 3.0, 4.6, 5.6, 6.6]


async def test_blocks_wait_while_writing_is_slow_and_come_again_when_it_is_not(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    del autojump_clock
    monkeypatch.setattr(limits, "HISTORY_TURNS", 10)  # ten symbols have their turn each time
    store = SlowStore(0.5 if 10 <= n < 30 else 0.01 for n in count())
    await kept(store, monkeypatch, 60.0)
    assert min(store.written[:10]) >= 10
    assert max(store.written[18:30]) == 1
    assert min(store.written[40:55]) >= 10
